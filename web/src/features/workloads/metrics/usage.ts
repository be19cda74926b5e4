/** What is used just now, every two seconds for as long as somebody looks, and how it goes on from the history. */
import { computed, onScopeDispose, ref, shallowRef, watch, type Ref } from 'vue'

import type { Usage } from '@/api/channels/live'
import type { History } from '@/api/types'
import { useNow } from '@/shared/lib/formats/time'
import { useLive } from '@/shared/lib/liveUpdates'

import { RANGES, type Shown, type Subject } from './history'

/** One moment, its values by series. */
export interface Point {
  /** Seconds since 1970, by the hub's clock. */
  at: number
  isStored: boolean
  values: Map<string, number>
}

/** Moments are kept for as long as the shortest range, in seconds. */
const KEPT = RANGES.live
/** What the history has too adds nothing where something closer came within this, in seconds. */
const CLOSE = 10
/** After a longer pause the moments begin anew, in seconds: the history fills it. */
const PAUSE = 30
/** What was heard is of now for this long. */
const NOW_MS = 45_000

/** The moments heard lately, and the last one while it is of now. Nothing is measured for a page that is hidden. */
export function useUsage(subject: Ref<Subject>, isWanted: Ref<boolean>) {
  const live = useLive()
  const isShown = usePageShown()
  const now = useNow()
  const points = shallowRef<Point[]>([])
  const heardAt = ref(0)
  watch(subject, () => {
    points.value = []
  })
  watch(
    [subject, computed(() => isWanted.value && isShown.value)] as const,
    ([of, isLooking], _, onCleanup) => {
      if (!isLooking) return
      onCleanup(
        live.measure(of, (usage) => {
          points.value = added(points.value, usage)
          heardAt.value = Date.now()
        }),
      )
    },
    { immediate: true },
  )
  const latest = computed(() => (now.value - heardAt.value <= NOW_MS ? (points.value.at(-1) ?? null) : null))
  return { points, latest }
}

/** Whether the page can be seen: not while another tab is in front of it. */
function usePageShown(): Ref<boolean> {
  const isShown = ref(!document.hidden)
  const look = () => {
    isShown.value = !document.hidden
  }
  document.addEventListener('visibilitychange', look)
  onScopeDispose(() => {
    document.removeEventListener('visibilitychange', look)
  })
  return isShown
}

export function added(points: Point[], { at, stored, values }: Usage): Point[] {
  const last = points.at(-1)
  // A pace is known once it was measured twice.
  const isHalf = !values.some(({ name }) => name === 'cpu_percent')
  const isLate = last !== undefined && (at <= last.at || (stored && !last.isStored && at - last.at < CLOSE))
  if (isHalf || isLate) return points
  const point = { at, isStored: stored, values: new Map(values.map(({ name, disk, value }) => [keyOf(name, disk), value])) }
  return last && at - last.at > PAUSE ? [point] : [...points.filter((before) => at - before.at <= KEPT), point]
}

/** The history up to the first of these moments, and then they; the end of the range moves on with them. */
export function continued({ span, history }: Shown, points: Point[]): Shown {
  const [first, last] = [points[0], points.at(-1)]
  if (!first || !last) return { span, history }
  const further = Math.max(0, last.at - span.to)
  const kept = history.times.filter((at) => at < first.at).length
  const series = withNew(history, last).map((series) => ({
    name: series.name,
    disk: series.disk ?? null,
    mean: [...Array.from({ length: kept }, (_, index) => series.mean[index] ?? null), ...points.map(({ values }) => values.get(keyOf(series.name, series.disk)) ?? null)],
  }))
  const times = [...history.times.slice(0, kept), ...points.map(({ at }) => at)]
  return { span: { from: span.from + further, to: span.to + further }, history: { step_seconds: history.step_seconds, times, series } }
}

/** One moment alone. */
export function alone(point: Point): Shown {
  return continued({ span: { from: point.at, to: point.at }, history: { step_seconds: 1, times: [], series: [] } }, [point])
}

/** The history's series, and those it has nothing of yet. */
function withNew({ series }: History, point: Point): History['series'] {
  const known = new Set(series.map(({ name, disk }) => keyOf(name, disk)))
  const fresh = [...point.values.keys()].filter((key) => !known.has(key))
  return [...series, ...fresh.map((key) => ({ ...namesOf(key), mean: [] }))]
}

function keyOf(name: string, disk: string | null | undefined): string {
  return disk == null ? name : `${name} ${disk}`
}

function namesOf(key: string): { name: string; disk: string | null } {
  const end = key.indexOf(' ')
  return end < 0 ? { name: key, disk: null } : { name: key.slice(0, end), disk: key.slice(end + 1) }
}
