// @vitest-environment happy-dom
import { describe, expect, test } from 'vitest'

import type { Activity } from '@/api/types'

import { isGap, isTrouble, keyOf } from './activity'

function activity(action: string, more: Partial<Activity> = {}): Activity {
  return { id: '1', at: '2026-05-04T00:00:00Z', source: 'engine', actor_kind: 'engine', action, facts: {}, ...more }
}

describe('what happened', () => {
  test('an action is part of a key', () => {
    expect(keyOf('container.extract-to-dir')).toBe('container_extract_to_dir')
  })

  test('only what went wrong is trouble', () => {
    expect(isTrouble(activity('container.die', { facts: { exit_code: '137' } }))).toBe(true)
    expect(isTrouble(activity('container.die', { facts: { exit_code: '0' } }))).toBe(false)
    expect(isTrouble(activity('container.stop', { outcome: 'failed' }))).toBe(true)
    expect(isTrouble(activity('container.stop', { outcome: 'done' }))).toBe(false)
    expect(isTrouble(activity('container.health_status', { facts: { health: 'unhealthy' } }))).toBe(true)
  })

  test('what nobody knows is a gap', () => {
    expect(isGap(activity('gap.gap'))).toBe(true)
    expect(isGap(activity('container.start'))).toBe(false)
  })
})
