/** Which charts are made of what was measured, and how their numbers are written. */
import type { History } from '@/api/types'
import { once } from '@/shared/lib/formats/once'

import type { Shown } from './history'

export type Unit = 'percent' | 'bytes' | 'rate' | 'count'

/** What a chart shows; its title and those of its lines are named so in the languages. */
interface Plan {
  name: 'cpu' | 'load' | 'memory' | 'swap' | 'disks' | 'network' | 'transfers' | 'processes'
  unit: Unit
  lines: { series: string; name: LineName }[]
}

export type LineName = 'used' | 'total' | 'limit' | 'one' | 'five' | 'fifteen' | 'received' | 'sent' | 'read' | 'written'

const NETWORK: Plan = {
  name: 'network',
  unit: 'rate',
  lines: [
    { series: 'network_received_bytes', name: 'received' },
    { series: 'network_sent_bytes', name: 'sent' },
  ],
}
const TRANSFERS: Plan = {
  name: 'transfers',
  unit: 'rate',
  lines: [
    { series: 'disk_read_bytes', name: 'read' },
    { series: 'disk_written_bytes', name: 'written' },
  ],
}
const CPU: Plan = { name: 'cpu', unit: 'percent', lines: [{ series: 'cpu_percent', name: 'used' }] }

export const HOST_PLANS: Plan[] = [
  CPU,
  {
    name: 'memory',
    unit: 'bytes',
    lines: [
      { series: 'memory_bytes', name: 'used' },
      { series: 'memory_total_bytes', name: 'total' },
    ],
  },
  {
    name: 'load',
    unit: 'count',
    lines: [
      { series: 'load_1', name: 'one' },
      { series: 'load_5', name: 'five' },
      { series: 'load_15', name: 'fifteen' },
    ],
  },
  { name: 'disks', unit: 'percent', lines: [] },
  NETWORK,
  TRANSFERS,
  { name: 'swap', unit: 'bytes', lines: [{ series: 'swap_bytes', name: 'used' }] },
]

export const CONTAINER_PLANS: Plan[] = [
  CPU,
  {
    name: 'memory',
    unit: 'bytes',
    lines: [
      { series: 'memory_bytes', name: 'used' },
      { series: 'memory_limit_bytes', name: 'limit' },
    ],
  },
  NETWORK,
  TRANSFERS,
  { name: 'processes', unit: 'count', lines: [{ series: 'processes', name: 'used' }] },
]

/** Values at moments; those of a time before are drawn where they would be now. */
export interface Line {
  name: LineName | null
  /** A file system, by where it is mounted. */
  disk: string | null
  isBefore: boolean
  values: (number | null)[]
}

export interface Chart {
  name: Plan['name']
  unit: Unit
  /** Seconds since 1970. */
  times: number[]
  lines: Line[]
}

/** The charts that have something to show. */
export function chartsOf(plans: Plan[], now: Shown, before: Shown | null): Chart[] {
  const times = timesOf(now, before)
  const charts = plans.map(({ name, unit, lines }): Chart => {
    const of = (shown: Shown, isBefore: boolean) => {
      const shift = now.span.from - shown.span.from
      const place = (values: (number | null)[]) => placed(shown.history, values, shift, times)
      if (name === 'disks') return diskLines(shown.history).map(({ disk, values }): Line => ({ name: null, disk, isBefore, values: place(values) }))
      return lines.flatMap(({ series, name }): Line[] => {
        // What there is in all is the same before.
        if (isBefore && (name === 'total' || name === 'limit')) return []
        const values = valuesOf(shown.history, series)
        return values ? [{ name, disk: null, isBefore, values: place(values) }] : []
      })
    }
    return { name, unit, times, lines: [...of(now, false), ...(before ? of(before, true) : [])] }
  })
  return charts.filter((chart) => chart.lines.some(({ values }) => values.some((value) => value !== null && (chart.name !== 'swap' || value > 0))))
}

/** The moments of both times; those before as they would be now. */
function timesOf(now: Shown, before: Shown | null): number[] {
  if (!before) return now.history.times
  const step = now.history.step_seconds
  const shifted = before.history.times.map((at) => aligned(at + now.span.from - before.span.from, step))
  return [...new Set([...now.history.times, ...shifted])].sort((one, other) => one - other)
}

function placed(history: History, values: (number | null)[], shift: number, times: number[]): (number | null)[] {
  if (shift === 0 && times === history.times) return values
  const known = new Map(history.times.map((at, index) => [shift === 0 ? at : aligned(at + shift, history.step_seconds), values[index] ?? null]))
  return times.map((at) => known.get(at) ?? null)
}

function aligned(at: number, step: number): number {
  return at - (at % step)
}

function valuesOf(history: History, name: string, disk: string | null = null): (number | null)[] | null {
  return history.series.find((series) => series.name === name && (series.disk ?? null) === disk)?.mean ?? null
}

/** How full each file system was, in percent. */
function diskLines(history: History): { disk: string; values: (number | null)[] }[] {
  const disks = history.series.filter(({ name }) => name === 'disk_bytes').map(({ disk }) => disk ?? '')
  return disks.map((disk) => {
    const used = valuesOf(history, 'disk_bytes', disk) ?? []
    const total = valuesOf(history, 'disk_total_bytes', disk) ?? []
    return { disk, values: used.map((value, index) => (value === null || !total[index] ? null : (value / total[index]) * 100)) }
  })
}

/** A limit that is further away than this many times what is used is no part of the scale: where a container has none of
 *  its own it is the host's memory, beside which the use is a flat line. */
const LIMIT_NEAR = 4

/** The highest value that the scale has room for. */
export function topOf({ lines }: Pick<Chart, 'lines'>): number {
  const most = (found: Line[]) => found.flatMap(({ values }) => values).reduce<number>((top, value) => Math.max(top, value ?? 0), 0)
  const used = most(lines.filter(({ name }) => name !== 'limit'))
  const limit = most(lines.filter(({ name }) => name === 'limit'))
  return limit <= used * LIMIT_NEAR ? Math.max(used, limit) : used
}

/** What a chart ends with, in few words: the fullest of several file systems. */
export function lastWords({ name, unit, lines }: Chart, language: string): string {
  const shown = lines.filter((line) => !line.isBefore && line.name !== 'total' && line.name !== 'limit')
  const values = shown.flatMap(({ values }) => values.at(-1) ?? [])
  const few = name === 'disks' ? [Math.max(...values)] : values.slice(0, 2)
  return few.map((value) => written(value, unit, language)).join(' · ')
}

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

const withDigits = (maximumFractionDigits: number) => once((language) => new Intl.NumberFormat(language, { maximumFractionDigits }))
const NUMBERS = { 0: withDigits(0), 1: withDigits(1), 2: withDigits(2) }

/** A number as people write it. */
export function written(value: number, unit: Unit, language: string): string {
  const number = (digits: 0 | 1 | 2, shown: number) => NUMBERS[digits](language).format(shown)
  switch (unit) {
    case 'percent':
      return `${number(value < 10 ? 1 : 0, value)} %`
    case 'count':
      return number(2, value)
    case 'bytes':
    case 'rate': {
      const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), BYTES.length - 1)
      const shown = value / 1024 ** power
      return `${number(power > 0 && shown < 100 ? 1 : 0, shown)} ${BYTES[power]}${unit === 'rate' ? '/s' : ''}`
    }
  }
}
