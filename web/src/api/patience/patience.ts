/** Waits for a hub that is asked too much: what only reads is asked again when the hub says so. */

/** A request is sent again so many times at most. */
const ATTEMPTS_MAX = 3
/** Nobody waits for longer than this without being told. */
const WAIT_MAX_S = 10

type Listener = (seconds: number) => void

let listener: Listener | null = null
let told = 0

/** Has somebody say so, once for all requests that wait at the same time. */
export function onSlowed(tell: Listener): void {
  listener = tell
}

/** Seconds after which a request is to be sent again; null where its answer is what it is. */
export function waitOf(request: Pick<Request, 'method'>, answer: Pick<Response, 'status' | 'headers'>): number | null {
  if (request.method !== 'GET' || answer.status !== 429) return null
  const seconds = Number.parseInt(answer.headers.get('retry-after') ?? '', 10)
  return seconds >= 1 && seconds <= WAIT_MAX_S ? seconds : null
}

/** The answer to a request, as often as it has to be sent for one.
 *  @throws what `send` throws, and the signal's reason when it is aborted while it waits */
export async function patiently(request: Request, signal: AbortSignal, send: (request: Request) => Promise<Response>): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    // A request's body can be read once; what only reads has none.
    const answer = await send(request.method === 'GET' ? request.clone() : request)
    const seconds = attempt < ATTEMPTS_MAX ? waitOf(request, answer) : null
    if (seconds === null) return answer
    if (told++ === 0) listener?.(seconds)
    try {
      await pause(seconds * 1_000, signal)
    } finally {
      told--
    }
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', aborted)
      resolve()
    }, milliseconds)
    signal.addEventListener('abort', aborted, { once: true })
  })
}
