// @vitest-environment happy-dom
import { describe, expect, test } from 'vitest'

import type { Job } from '@/api/types'

import { fraction, isOver } from './composables/jobs'
import { NOTHING, withMore } from './composables/output'

function job(state: Job['state'], progress: Partial<Job['progress']> = {}): Job {
  const nothing = { step: null, steps_done: 0, steps_total: null, bytes_done: 0, bytes_total: null, parts: [] }
  return {
    id: 'a',
    kind: 'image.pull',
    environment_id: null,
    subject: 'nginx:latest',
    asked_by: 'ada',
    asked_by_id: null,
    state,
    progress: { ...nothing, ...progress },
    result: null,
    failure: null,
    created_at: '2026-05-04T00:00:00Z',
    started_at: null,
    ended_at: null,
  }
}

describe('how far a job is', () => {
  test('is not known before anything is', () => {
    expect(fraction(job('running'))).toBeNull()
    expect(fraction(job('running', { steps_total: 1 }))).toBeNull()
  })

  test('is told by bytes, and by steps with the bytes of this one', () => {
    expect(fraction(job('running', { bytes_done: 5, bytes_total: 20 }))).toBe(0.25)
    expect(fraction(job('running', { steps_done: 1, steps_total: 2, bytes_done: 5, bytes_total: 10 }))).toBe(0.75)
    expect(fraction(job('running', { bytes_done: 30, bytes_total: 20 }))).toBe(1)
    expect(fraction(job('succeeded'))).toBe(1)
  })

  test('it is over once it ended, however it did', () => {
    const states: Job['state'][] = ['queued', 'running', 'succeeded', 'failed', 'cancelled']
    expect(states.map((state) => isOver(job(state)))).toEqual([false, false, true, true, true])
  })
})

describe('what a job says', () => {
  test('is read on from the last line', () => {
    const first = withMore(NOTHING, { from: 0, lines: ['a', 'b'] })
    expect(withMore(first, { from: 2, lines: ['c'] })).toEqual({ lines: ['a', 'b', 'c'], next: 3, lost: 0 })
    expect(withMore(first, { from: 2, lines: [] })).toEqual(first)
  })

  test('lines that the hub no longer has are counted', () => {
    const first = withMore(NOTHING, { from: 10, lines: ['x'] })
    expect(first).toEqual({ lines: ['x'], next: 11, lost: 10 })
    expect(withMore(first, { from: 15, lines: ['y'] }).lost).toBe(14)
  })

  test('only the last lines are held', () => {
    const many = Array.from({ length: 2_500 }, (_, number) => String(number))
    const said = withMore(NOTHING, { from: 0, lines: many })
    expect([said.lines.length, said.lines[0], said.next, said.lost]).toEqual([2_000, '500', 2_500, 500])
  })
})
