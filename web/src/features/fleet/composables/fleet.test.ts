// @vitest-environment happy-dom
import { describe, expect, test } from 'vitest'

import { grouped, standingOf } from './enrollment'
import { chunksOf, measured } from './environments'
import { refuses } from './hostPolicy'
import { recycled } from './recycling'
import { labelsOf, listOf } from './tokenTerms'

describe('what is typed into a token’s terms', () => {
  test('is a list between commas, blanks and line breaks', () => {
    expect(listOf(' 10.0.0.0/8, 192.168.0.0/16\n::1/128 ')).toEqual(['10.0.0.0/8', '192.168.0.0/16', '::1/128'])
  })

  test('is labels, or wrong as a whole', () => {
    expect(labelsOf('site=fra rack=a=b')).toEqual({ site: 'fra', rack: 'a=b' })
    expect(labelsOf('')).toEqual({})
    expect(labelsOf('site=fra nonsense')).toBeNull()
    expect(labelsOf('=x')).toBeNull()
  })
})

test('a fingerprint is shown in groups of four', () => {
  expect(grouped('abcdefghij')).toBe('abcd efgh ij')
})

test('a host that arrives is offline only once it was seen', () => {
  expect(standingOf({ state: 'active', online: false, last_seen: null })).toBe('connecting')
  expect(standingOf({ state: 'active', online: true, last_seen: null })).toBe('online')
  expect(standingOf({ state: 'active', online: false, last_seen: '2026-01-01T12:00:00Z' })).toBe('offline')
  expect(standingOf({ state: 'pending', online: true, last_seen: null })).toBe('pending')
})

test('a round trip of nothing is none but within the hub’s own process', () => {
  expect(measured({ kind: 'edge', rtt_ms: 0 }).rtt_ms).toBeNull()
  expect(measured({ kind: 'tcp', rtt_ms: 0 }).rtt_ms).toBeNull()
  expect(measured({ rtt_ms: undefined }).rtt_ms).toBeNull()
  expect(measured({ kind: 'edge', rtt_ms: 0.04 }).rtt_ms).toBe(0.04)
  expect(measured({ kind: 'local', rtt_ms: 0 }).rtt_ms).toBe(0)
})

test('the list is read in chunks of what is seen, and the first apart from them', () => {
  expect(chunksOf({ start: 0, end: 0 })).toEqual([])
  expect(chunksOf({ start: 0, end: 50 })).toEqual([])
  expect(chunksOf({ start: 40, end: 51 })).toEqual([50])
  expect(chunksOf({ start: 95, end: 152 })).toEqual([50, 100, 150])
})

describe('the elements of a long list', () => {
  const three = recycled([], [0, 1, 2])

  test('go from the rows that leave to those that come', () => {
    expect(three.map(({ key }) => key)).toEqual([0, 1, 2])
    expect(recycled(three, [1, 2, 3])).toEqual([
      { index: 1, key: 1 },
      { index: 2, key: 2 },
      { index: 3, key: 0 },
    ])
  })

  test('stay in their order after a jump, and are as many as are needed', () => {
    expect(recycled(three, [50, 51, 52, 53]).map(({ key }) => key)).toEqual([0, 1, 2, 3])
    expect(recycled(three, [50]).map(({ key }) => key)).toEqual([0])
    expect(recycled(three, [])).toEqual([])
  })
})

test('a host refuses what its policy names, and one that told none refuses nothing', () => {
  const policy = { profile: 'monitor', digest: 'ab', invalid: false, reason: null, refuses: ['exec', 'files.read'] }
  expect(refuses(policy, 'exec')).toBe(true)
  expect(refuses(policy, 'files.read')).toBe(true)
  expect(refuses(policy, 'logs')).toBe(false)
  expect(refuses(null, 'exec')).toBe(false)
  expect(refuses(undefined, 'exec')).toBe(false)
})
