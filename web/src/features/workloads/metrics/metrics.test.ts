// @vitest-environment happy-dom
import { expect, test, vi } from 'vitest'
import { createApp, nextTick, ref } from 'vue'

import type { Live } from '@/api/channels/live'
import type { History } from '@/api/types'
import { liveKey } from '@/shared/lib/liveUpdates'

import { chartsOf, CONTAINER_PLANS, HOST_PLANS, lastWords, topOf, written } from './charts'
import { before, spanOf } from './history'
import { added, alone, continued, useUsage, type Point } from './usage'

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

test('a limit far above what is used does not press the lines flat', () => {
  const top = (series: History['series']) => chartsOf(CONTAINER_PLANS, { span: { from: 0, to: 60 }, history: history([15, 30], series) }, null).map(topOf)
  const memory = { name: 'memory_bytes', mean: [100, null] }
  expect(top([memory, { name: 'memory_limit_bytes', mean: [400, 400] }])).toEqual([400])
  expect(top([memory, { name: 'memory_limit_bytes', mean: [401, 401] }])).toEqual([100])
  expect(top([memory])).toEqual([100])
  expect(top([{ name: 'memory_bytes', mean: [0, 0] }, { name: 'memory_limit_bytes', mean: [400, 400] }])).toEqual([0])
})

test('what a host has is always part of the scale', () => {
  const memory = history([15], [{ name: 'memory_bytes', mean: [1] }, { name: 'memory_total_bytes', mean: [100] }])
  expect(chartsOf(HOST_PLANS, { span: { from: 0, to: 60 }, history: memory }, null).map(topOf)).toEqual([100])
})

test('numbers are written with their unit', () => {
  expect(written(0, 'bytes', 'en')).toBe('0 B')
  expect(written(1536, 'bytes', 'en')).toBe('1.5 KiB')
  expect(written(300 * 1024 * 1024, 'rate', 'en')).toBe('300 MiB/s')
  expect(written(3.14159, 'percent', 'en')).toBe('3.1 %')
  expect(written(0.52, 'count', 'fr')).toBe('0,52')
})

const told = (at: number, cpu: number, stored = false) => ({ at, stored, values: [{ name: 'cpu_percent', value: cpu }, { name: 'disk_bytes', disk: '/', value: 5 }] })

test('what is measured more often takes the place of what is stored', () => {
  const heard = [told(10, 1), told(12, 2), told(13, 9, true), told(12, 9), told(14, 3)]
  const points = heard.reduce<Point[]>(added, [])
  expect(points.map(({ at }) => at)).toEqual([10, 12, 14])
  const half = { at: 16, stored: false, values: [{ name: 'memory_bytes', value: 1 }] }
  expect(added(points, half)).toBe(points)
  const rarely = [told(15, 1, true), told(30, 2, true), told(45, 3, true)]
  expect(rarely.reduce<Point[]>(added, []).map(({ at }) => at)).toEqual([15, 30, 45])
})

test('moments are kept for five minutes and begin anew after a pause', () => {
  const all = Array.from({ length: 400 }, (_, index) => told(index * 2, 1)).reduce<Point[]>(added, [])
  expect([all[0]?.at, all.at(-1)?.at]).toEqual([498, 798])
  expect(added(all, told(900, 1)).map(({ at }) => at)).toEqual([900])
})

test('a chart goes on from the history, and its range with it', () => {
  const found = history([15, 30, 45], [{ name: 'cpu_percent', mean: [1, 2, 3] }])
  const points = [told(40, 7), told(42, 8)].reduce<Point[]>(added, [])
  const shown = continued({ span: { from: 0, to: 41 }, history: found }, points)
  expect(shown.span).toEqual({ from: 1, to: 42 })
  expect(shown.history.times).toEqual([15, 30, 40, 42])
  expect(shown.history.series.map(({ name, disk, mean }) => ({ name, disk, mean }))).toEqual([
    { name: 'cpu_percent', disk: null, mean: [1, 2, 7, 8] },
    { name: 'disk_bytes', disk: '/', mean: [null, null, 5, 5] },
  ])
})

test('the value of now stands in few words', () => {
  const values = [['cpu_percent', 3.14], ['network_received_bytes', 1536], ['network_sent_bytes', 0], ['disk_bytes /', 1], ['disk_total_bytes /', 2], ['disk_bytes /data', 9], ['disk_total_bytes /data', 10], ['memory_bytes', 1024], ['memory_total_bytes', 4096]] as const
  const charts = chartsOf(HOST_PLANS, alone({ at: 7, isStored: false, values: new Map(values) }), null)
  expect(charts.map((chart) => [chart.name, lastWords(chart, 'en')])).toEqual([
    ['cpu', '3.1 %'],
    ['memory', '1 KiB'],
    ['disks', '90 %'],
    ['network', '1.5 KiB/s · 0 B/s'],
  ])
})

test('nothing is measured for a page that is hidden or was left', async () => {
  const end = vi.fn()
  const measure = vi.fn(() => end)
  const page = createApp({
    setup() {
      useUsage(ref({ environment: 'e', container: null }), ref(true))
      return () => null
    },
  })
  page.provide(liveKey, { measure } as unknown as Live)
  page.mount(document.createElement('div'))
  const turn = async (hidden: boolean) => {
    vi.spyOn(document, 'hidden', 'get').mockReturnValue(hidden)
    document.dispatchEvent(new Event('visibilitychange'))
    await nextTick()
    return [measure.mock.calls.length, end.mock.calls.length]
  }
  expect(await turn(false)).toEqual([1, 0])
  expect(await turn(true)).toEqual([1, 1])
  expect(await turn(false)).toEqual([2, 1])
  page.unmount()
  expect(end).toHaveBeenCalledTimes(2)
  vi.restoreAllMocks()
})
