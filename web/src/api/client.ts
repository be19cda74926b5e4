/** The one way to the hub: typed by its OpenAPI document, every request with a deadline. */
import createClient from 'openapi-fetch'

import { failureFrom, failureOf } from './failure'
import type { paths } from './schema'

/** No answer of the API takes longer; a container that stops has 10 s of grace. */
const DEADLINE_MS = 45_000

export const api = createClient<paths>({
  baseUrl: globalThis.location.origin,
  credentials: 'same-origin',
  fetch: (request: Request) => {
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(DEADLINE_MS)])
    // eslint-disable-next-line no-restricted-globals -- this is the one place
    return fetch(request, { signal })
  },
})

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
