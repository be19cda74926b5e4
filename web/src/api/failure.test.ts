import { describe, expect, test } from 'vitest'

import { ApiFailure, failureFrom, failureOf, isMissing } from './failure'

function answer(status: number, headers: Record<string, string> = {}) {
  return new Response(null, { status, headers })
}

describe('a failure', () => {
  test('is read from the hub’s envelope', () => {
    const body = { error: { code: 'name_taken', message: 'Taken.', request_id: 'r1', details: null } }
    const failure = failureOf(answer(409), body)
    expect([failure.status, failure.code, failure.message, failure.requestId]).toEqual([409, 'name_taken', 'Taken.', 'r1'])
  })

  test('tells what is not there from what only failed', () => {
    expect([new ApiFailure(404, 'not_found', ''), new ApiFailure(403, 'forbidden', ''), new Error('404'), null].map(isMissing)).toEqual([true, false, false, false])
  })

  test('tells how long to wait', () => {
    const body = { error: { code: 'too_many_attempts', message: 'Wait.', request_id: 'r2' } }
    expect(failureOf(answer(429, { 'retry-after': '12' }), body).retryAfter).toBe(12)
  })

  test('is unreadable where a proxy answers in the hub’s place', () => {
    for (const body of ['<html>Bad gateway</html>', null, undefined, { error: 'x' }, { error: { code: 1 } }]) {
      const failure = failureOf(answer(502, { 'x-request-id': 'r3' }), body)
      expect([failure.code, failure.requestId]).toEqual(['unreadable', 'r3'])
    }
  })

  test('of the network is worth another attempt and a refusal is not', () => {
    expect(failureFrom(new TypeError('Failed to fetch')).isPassing).toBe(true)
    expect(failureFrom(new DOMException('late', 'TimeoutError')).code).toBe('deadline')
    expect(new ApiFailure(403, 'administrator_required', '').isPassing).toBe(false)
    expect(new ApiFailure(503, 'busy', '').isPassing).toBe(true)
  })
})
