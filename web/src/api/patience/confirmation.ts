/** Has people confirm that it is they where the hub asks for it, and sends what was refused once more. */

/** What the hub says where too much time passed since the last proof. */
export const CONFIRMATION_REQUIRED = 'confirmation_required'

/** For so long an answer may still be about the cookie of before. */
const RENEWAL_MS = 10_000
/** By then the browser has the new one. */
const PAUSE_MS = 500

type Send = (request: Request) => Promise<Response>
/** Asks, and tells whether it is confirmed now. */
type Ask = () => Promise<boolean>

let ask: Ask | null = null
let asking: Promise<boolean> | null = null
let renewingUntil = 0
let channel: BroadcastChannel | null = null

/** Has somebody ask, once for all requests that wait for it at the same time. */
export function onConfirmationRequired(asked: Ask): void {
  ask = asked
}

/** The answer to a request, after a confirmation where one is asked for: then it is sent again, and no third time. */
export async function confirming(request: Request, send: Send): Promise<Response> {
  // A request's body can be read once.
  const again = request.clone()
  const answer = await send(request)
  if (!ask || !(await isAskedFor(answer))) return answer
  asking ??= ask().finally(() => {
    asking = null
  })
  return (await asking) ? send(again) : answer
}

async function isAskedFor(answer: Response): Promise<boolean> {
  if (answer.status !== 403) return false
  const body: unknown = await answer.clone().json().catch(() => null)
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : null
  return typeof error === 'object' && error !== null && 'code' in error && error.code === CONFIRMATION_REQUIRED
}

/** Hears from the other pages of this browser when one is about to get another cookie. */
export function listenForRenewals(): void {
  channel = new BroadcastChannel('windflow-session')
  channel.onmessage = expectRenewal
}

/** To be called before a request whose answer gives the browser another cookie. */
export function announceRenewal(): void {
  expectRenewal()
  channel?.postMessage(null)
}

function expectRenewal() {
  renewingUntil = Date.now() + RENEWAL_MS
}

/** What only reads and went with the cookie of before, while the browser got another one, is sent again with that. */
export async function withPresentCookie(request: Request, send: Send): Promise<Response> {
  if (request.method !== 'GET') return send(request)
  const again = request.clone()
  const answer = await send(request)
  if (answer.status !== 401 || Date.now() >= renewingUntil) return answer
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  return send(again)
}
