// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { onSlowed, patiently, waitOf } from './patience'

const URL = 'https://hub.example/api/v1/environments'

function refused(wait: string | null): Response {
  return new Response('{}', { status: 429, headers: wait === null ? {} : { 'retry-after': wait } })
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

test('what reads is sent again after as long as the hub says, and people are told once', async () => {
  const told: number[] = []
  onSlowed((seconds) => told.push(seconds))
  const answers = [refused('2'), new Response('good')]
  const send = vi.fn(() => Promise.resolve(answers.shift() ?? new Response('none')))
  const other = vi.fn(() => Promise.resolve(refused('1')))
  const signal = new AbortController().signal
  const pending = patiently(new Request(URL), signal, send)
  const refusedPending = patiently(new Request(URL), signal, other)
  await vi.advanceTimersByTimeAsync(1_999)
  expect(send).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(await (await pending).text()).toBe('good')
  expect((await refusedPending).status).toBe(429)
  expect(other).toHaveBeenCalledTimes(3)
  expect(told).toEqual([2])
})

test('what changes something, and what cannot be waited for, is refused at once', async () => {
  expect(waitOf({ method: 'GET' }, refused('3'))).toBe(3)
  expect(waitOf({ method: 'POST' }, refused('3'))).toBeNull()
  expect(waitOf({ method: 'GET' }, refused('11'))).toBeNull()
  expect(waitOf({ method: 'GET' }, refused(null))).toBeNull()
  expect(waitOf({ method: 'GET' }, new Response('', { status: 503, headers: { 'retry-after': '1' } }))).toBeNull()
  const send = vi.fn(() => Promise.resolve(refused('1')))
  const answer = await patiently(new Request(URL, { method: 'POST', body: '{}' }), new AbortController().signal, send)
  expect(answer.status).toBe(429)
  expect(send).toHaveBeenCalledTimes(1)
})

test('nobody waits on once the request is given up', async () => {
  const giving = new AbortController()
  const pending = patiently(new Request(URL), giving.signal, () => Promise.resolve(refused('5')))
  const failed = expect(pending).rejects.toThrow('gone')
  await vi.advanceTimersByTimeAsync(100)
  giving.abort(new Error('gone'))
  await failed
})
