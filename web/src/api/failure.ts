/** What went wrong with a request, as the rest of the console sees it. */
export class ApiFailure extends Error {
  override readonly name = 'ApiFailure'

  constructor(
    /** The HTTP status; 0 where no answer came. */
    readonly status: number,
    /** The hub's code, or `unreachable`, `deadline` or `unreadable`. */
    readonly code: string,
    /** The hub's own words, in English. */
    message: string,
    /** What to look for in the hub's log. */
    readonly requestId: string | null = null,
    /** Seconds to wait before another attempt. */
    readonly retryAfter: number | null = null,
    /** The rule of a host's own policy that refuses. */
    readonly rule: string | null = null,
    /** What can be the second factor that is missing. */
    readonly factors: { code: boolean; passkey: boolean } | null = null,
  ) {
    super(message)
  }

  /** Whether the same request may succeed if it is simply sent again. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504
  }
}

/** Reads the hub's error envelope; whatever else came is `unreadable`. */
export function failureOf(response: Response, body: unknown): ApiFailure {
  const requestId = response.headers.get('x-request-id')
  const retryAfter = Number.parseInt(response.headers.get('retry-after') ?? '', 10)
  const wait = Number.isNaN(retryAfter) ? null : retryAfter
  const error = envelopeOf(body)
  if (!error) return new ApiFailure(response.status, 'unreadable', response.statusText, requestId, wait)
  return new ApiFailure(response.status, error.code, error.message, error.request_id ?? requestId, wait, error.details?.rule ?? null, factorsIn(error))
}

/** The failure behind anything that was thrown by a request. */
export function failureFrom(thrown: unknown): ApiFailure {
  if (thrown instanceof ApiFailure) return thrown
  if (thrown instanceof DOMException && thrown.name === 'TimeoutError') {
    return new ApiFailure(0, 'deadline', thrown.message)
  }
  return new ApiFailure(0, 'unreachable', thrown instanceof Error ? thrown.message : String(thrown))
}

/** Whether what was asked for is not there, or not any more. */
export function isMissing(thrown: unknown): boolean {
  return thrown instanceof ApiFailure && thrown.status === 404
}

interface Envelope {
  code: string
  message: string
  request_id?: string
  details?: { rule?: string; code?: boolean; passkey?: boolean } | null
}

function factorsIn({ code, details }: Envelope) {
  return code === 'second_factor_required' && details ? { code: details.code ?? false, passkey: details.passkey ?? false } : null
}

function envelopeOf(body: unknown): Envelope | null {
  if (typeof body !== 'object' || body === null || !('error' in body)) return null
  const error = body.error
  if (typeof error !== 'object' || error === null || !('code' in error) || !('message' in error)) return null
  return typeof error.code === 'string' && typeof error.message === 'string' ? (error as Envelope) : null
}
