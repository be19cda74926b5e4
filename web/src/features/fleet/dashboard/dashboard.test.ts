// @vitest-environment happy-dom
import { describe, expect, test } from 'vitest'

import type { Overview } from '@/api/types'

import { usageOf } from '../composables/environmentTexts'
import { labelsFrom, linesOfLabels } from '../groups/labels'
import { linesOf, rangeOf } from './lines'
import { sectionsOf } from './overview'
import { viewOf } from './view'

describe('the lines of the dashboard', () => {
  const sections = [
    { id: 'a', heading: 'Paris', count: 4 },
    { id: null, heading: 'In no group', count: 2 },
  ]

  test('are a heading and as many environments as there is room for', () => {
    const lines = linesOf(sections, 3)
    expect(lines.map((line) => (line.kind === 'heading' ? line.key : [line.start, line.end]))).toEqual(['group-a', [0, 3], [3, 4], 'group-none', [4, 6]])
    expect(rangeOf(lines.slice(2, 4))).toEqual({ start: 3, end: 4 })
    expect(rangeOf(lines.slice(3, 4))).toEqual({ start: 0, end: 0 })
  })

  test('have no heading where there are no groups', () => {
    expect(linesOf([{ id: null, heading: null, count: 2 }], 1)).toEqual([
      { kind: 'rows', start: 0, end: 1 },
      { kind: 'rows', start: 1, end: 2 },
    ])
    expect(linesOf([{ id: null, heading: null, count: 0 }], 1)).toEqual([])
  })

  test('of 10,000 environments in 100 groups are made in no time that is felt', () => {
    const many = Array.from({ length: 100 }, (_, number) => ({ id: String(number), heading: 'x', count: 100 }))
    expect(linesOf(many, 3)).toHaveLength(100 * 35)
  })
})

describe('the sections of a list', () => {
  const counts = (total: number) => ({ online: total, degraded: 0, alerting: 0, offline: 0, pending: 0, quarantined: 0, revoked: 0, total })
  const containers = { running: 0, paused: 0, restarting: 0, stopped: 0, unhealthy: 0, total: 0 }
  const overview = (groups: ({ id: string; name: string } | null)[]): Overview => ({
    environments: counts(groups.length),
    containers,
    groups: groups.map((group) => ({ group, environments: counts(1), containers })),
  })

  test('are its groups, and the environments in none', () => {
    const sections = sectionsOf(overview([{ id: 'a', name: 'Paris' }, null]), 2, 'none')
    expect(sections).toEqual([
      { id: 'a', heading: 'Paris', count: 1 },
      { id: null, heading: 'none', count: 1 },
    ])
  })

  test('are one without a heading where nothing is in a group, or the numbers are of another moment', () => {
    const plain = (count: number) => [{ id: null, heading: null, count }]
    expect(sectionsOf(overview([null]), 1, 'none')).toEqual(plain(1))
    expect(sectionsOf(undefined, 7, 'none')).toEqual(plain(7))
    expect(sectionsOf(overview([{ id: 'a', name: 'Paris' }]), 7, 'none')).toEqual(plain(7))
  })
})

test('the view that was chosen is shown, and tiles where none was', () => {
  expect(viewOf('table')).toBe('table')
  for (const stored of [null, '', 'list']) expect(viewOf(stored)).toBe('tiles')
})

test('labels are typed one on each line, or are wrong as a whole', () => {
  expect(labelsFrom(' site = fra\n\nnote=a b=c\nspare')).toEqual({ site: 'fra', note: 'a b=c', spare: '' })
  expect(labelsFrom('')).toEqual({})
  for (const wrong of ['=x', 'a b', 'site=fra\n-x', 'é=x']) expect(labelsFrom(wrong), wrong).toBeNull()
  expect(linesOfLabels({ site: 'fra', spare: '' })).toBe('site=fra\nspare')
})

describe('what a host uses', () => {
  const format = new Intl.NumberFormat('en', { style: 'percent' })

  test('is told in parts of what there is, as far as it is known', () => {
    const host = { cpu_percent: 12.4, memory_bytes: 3, memory_total_bytes: 12, disk_bytes: 5, disk_total_bytes: 0 }
    expect(usageOf(host, format)).toEqual([
      { what: 'cpu', text: '12%' },
      { what: 'memory', text: '25%' },
    ])
    expect(usageOf(null, format)).toEqual([])
  })
})
