// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import type { History } from '@/api/types'

import { chartsOf, CONTAINER_PLANS, HOST_PLANS, written } from './charts'
import { before, spanOf } from './history'

function history(times: number[], series: History['series']): History {
  return { step_seconds: 15, times, series }
}

test('a range ends now unless a part of it was chosen', () => {
  expect(spanOf('hour', null, 10_000)).toEqual({ from: 6_400, to: 10_000 })
  expect(spanOf('hour', { from: 1, to: 2 }, 10_000)).toEqual({ from: 1, to: 2 })
  expect(before({ from: 100, to: 130 })).toEqual({ from: 70, to: 100 })
})

test('only charts that have something to show are drawn', () => {
  const found = history([15, 30], [
    { name: 'cpu_percent', mean: [1, null] },
    { name: 'swap_bytes', mean: [0, 0] },
    { name: 'disk_bytes', disk: '/', mean: [5, 6] },
    { name: 'disk_total_bytes', disk: '/', mean: [10, 10] },
  ])
  const charts = chartsOf(HOST_PLANS, { span: { from: 0, to: 60 }, history: found }, null)
  expect(charts.map(({ name }) => name)).toEqual(['cpu', 'disks'])
  expect(charts[1]?.lines).toEqual([{ name: null, disk: '/', isBefore: false, values: [50, 60] }])
})

test('the time before is drawn where it would be now', () => {
  const now = { span: { from: 1_000, to: 1_060 }, history: history([1_005, 1_020], [{ name: 'cpu_percent', mean: [1, 2] }]) }
  const earlier = { span: { from: 940, to: 1_000 }, history: history([945, 975], [{ name: 'cpu_percent', mean: [7, 8] }]) }
  const [cpu] = chartsOf(CONTAINER_PLANS, now, earlier)
  expect(cpu?.times).toEqual([1_005, 1_020, 1_035])
  expect(cpu?.lines.map(({ isBefore, values }) => ({ isBefore, values }))).toEqual([
    { isBefore: false, values: [1, 2, null] },
    { isBefore: true, values: [7, null, 8] },
  ])
})

test('numbers are written with their unit', () => {
  expect(written(0, 'bytes', 'en')).toBe('0 B')
  expect(written(1536, 'bytes', 'en')).toBe('1.5 KiB')
  expect(written(300 * 1024 * 1024, 'rate', 'en')).toBe('300 MiB/s')
  expect(written(3.14159, 'percent', 'en')).toBe('3.1 %')
  expect(written(0.52, 'count', 'fr')).toBe('0,52')
})
