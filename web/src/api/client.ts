/** The one way to the hub: typed by its OpenAPI document, every request with a deadline. */
import createClient from 'openapi-fetch'

import { confirming, withPresentCookie } from './patience/confirmation'
import { failureFrom, failureOf } from './failure'
import { patiently } from './patience/patience'
import type { paths } from './schema'

/** What the hub knows by itself it says in moments. */
const READ_DEADLINE_MS = 15_000
/** No other answer takes longer: an engine may be slow, and a container that stops has 10 s of grace. */
const DEADLINE_MS = 45_000
/** An engine adds up every file of every volume. */
const SURVEY_DEADLINE_MS = 6 * 60_000
const SURVEY = /\/prune\/preview$/
/** A recording may have 16 MiB. */
const CAST = /^\/api\/v1\/recordings\/[^/]+\/cast$/
const CAST_DEADLINE_MS = 3 * 60_000
/** The whole audit log is walked. */
const VERIFY = '/api/v1/audit/verify'
const VERIFY_DEADLINE_MS = 3 * 60_000
/** What only the engine knows. */
const OF_ENGINE = /^\/api\/v1\/environments\/[^/]+\/containers/

export const api = createClient<paths>({
  baseUrl: globalThis.location.origin,
  credentials: 'same-origin',
  fetch: (request: Request) => confirming(request, (known) => withPresentCookie(known, send)),
})

/** What somebody thinks and types in between is no part of the deadline. */
function send(request: Request): Promise<Response> {
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(deadlineOf(request))])
  // eslint-disable-next-line no-restricted-globals -- this is the one place
  return patiently(request, signal, (again) => fetch(again, { signal }))
}

/** How long to wait for the answer to a request. */
export function deadlineOf({ method, url }: Pick<Request, 'method' | 'url'>): number {
  const { pathname } = new URL(url)
  if (SURVEY.test(pathname)) return SURVEY_DEADLINE_MS
  if (CAST.test(pathname)) return CAST_DEADLINE_MS
  if (pathname === VERIFY) return VERIFY_DEADLINE_MS
  return method === 'GET' && !OF_ENGINE.test(pathname) ? READ_DEADLINE_MS : DEADLINE_MS
}

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The body of a good answer.
 *  @throws {ApiFailure} for every other one, and where none came. */
export async function take<T>(pending: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>
  try {
    answer = await pending
  } catch (thrown) {
    // A query that nobody waits for any more is no failure.
    if (thrown instanceof DOMException && thrown.name === 'AbortError') throw thrown
    throw failureFrom(thrown)
  }
  if (!answer.response.ok) throw failureOf(answer.response, answer.error)
  return answer.data as T
}
