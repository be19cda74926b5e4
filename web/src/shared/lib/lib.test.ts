// @vitest-environment happy-dom
import { describe, expect, test } from 'vitest'

import { isSilent, touched } from './liveUpdates'
import { milliseconds, relative } from './formats/time'

describe('changes from the live channel', () => {
  test('touch what they are about, each once', () => {
    const container = { kind: 'container' as const, id: 1, environment_id: 'e' }
    expect(touched([container, { ...container, id: 2 }])).toEqual([
      ['containers', 'e'],
      ['all-containers'],
      ['environments'],
      ['environment', 'e'],
    ])
  })

  test('of what happened touch the hosts too, which show what was last', () => {
    expect(touched([{ kind: 'events', id: 1, environment_id: 'e' }])).toEqual([['activity'], ['environments']])
  })

  test('touch everything after a reset', () => {
    expect(touched([{ kind: 'container', id: 1, environment_id: 'e' }, { kind: 'reset', id: 2 }])).toEqual([null])
  })

  test('of a kind that is not known yet touch nothing', () => {
    expect(touched([{ kind: 'stack' as never, id: 1 }])).toEqual([])
  })
})

test('what was read is the present while the hub answers or speaks, and not for long after', () => {
  const read = Date.UTC(2026, 0, 1, 12)
  expect(isSilent(read + 30_000, read, 0)).toBe(false)
  expect(isSilent(read + 31_000, read, 0)).toBe(true)
  expect(isSilent(read + 60_000, read, read + 40_000)).toBe(false)
  expect(isSilent(read + 60_000, read, read + 20_000)).toBe(true)
})

describe('times', () => {
  const noon = Date.UTC(2026, 0, 1, 12)

  test('are told in the largest unit that fits', () => {
    const ago = (seconds: number) => relative(noon - seconds * 1_000, noon, 'en')
    expect([3, 40, 61, 3_700, 90_000].map(ago)).toEqual(['now', '40 seconds ago', '1 minute ago', '1 hour ago', 'yesterday'])
  })

  test('that are over are never now, not even by a clock that is behind', () => {
    const ago = (seconds: number) => relative(noon - seconds * 1_000, noon, 'en', 'past')
    expect([-5, 0, 4, 61].map(ago)).toEqual(['1 second ago', '1 second ago', '4 seconds ago', '1 minute ago'])
  })

  test('are told in the user’s language', () => {
    expect(relative(noon + 3_600_000, noon, 'fr')).toBe('dans 1 heure')
    expect(milliseconds(0.16, 'fr')).toBe('0,2 ms')
    expect(milliseconds(0.04, 'fr')).toBe('< 0,1 ms')
    expect(milliseconds(0, 'en')).toBe('0 ms')
    expect(milliseconds(84.4, 'en')).toBe('84 ms')
  })
})
