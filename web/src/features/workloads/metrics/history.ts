/** What a host or a container used over a time, asked of the hub. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { History } from '@/api/types'

/** The times that can be chosen, in seconds. */
export const RANGES = { live: 300, hour: 3_600, quarter: 21_600, day: 86_400, week: 604_800, month: 2_592_000 } as const
export type RangeName = keyof typeof RANGES
export const RANGE_NAMES = Object.keys(RANGES) as RangeName[]

/** A time, in seconds since 1970. */
export interface Span {
  from: number
  to: number
}

/** Whose measurements: the host's where no container is named. */
export interface Subject {
  environment: string
  container: string | null
}

/** A short time is measured anew every 15 s, a long one hardly changes. */
const REFRESH_SHORT_MS = 15_000
const REFRESH_LONG_MS = 60_000
const SHORT = RANGES.quarter

/** The time that is shown: up to now for as long as nobody has chosen a part of it. */
export function spanOf(range: RangeName, chosen: Span | null, now: number): Span {
  return chosen ?? { from: now - RANGES[range], to: now }
}

/** As long a time, just before. */
export function before({ from, to }: Span): Span {
  return { from: from - (to - from), to: from }
}

export interface Shown {
  span: Span
  history: History
}

/** What was measured in the chosen range; `isBefore` asks for as long a time before it. */
export function useHistory(subject: Ref<Subject>, range: Ref<RangeName>, chosen: Ref<Span | null>, isBefore: boolean, enabled: Ref<boolean>) {
  return useQuery({
    queryKey: computed(() => [...keys.metrics(subject.value.environment), subject.value.container, range.value, chosen.value, isBefore]),
    queryFn: async ({ signal }): Promise<Shown> => {
      const shown = spanOf(range.value, chosen.value, Math.floor(Date.now() / 1_000))
      const span = isBefore ? before(shown) : shown
      return { span, history: await ask(subject.value, span, signal) }
    },
    enabled,
    refetchInterval: () => (chosen.value ? false : RANGES[range.value] <= SHORT ? REFRESH_SHORT_MS : REFRESH_LONG_MS),
    placeholderData: keepPreviousData,
  })
}

function ask({ environment: id, container }: Subject, { from, to }: Span, signal: AbortSignal): Promise<History> {
  const query = { from: momentOf(from), to: momentOf(to) }
  if (container === null) return take(api.GET('/api/v1/environments/{id}/metrics', { params: { path: { id }, query }, signal }))
  return take(api.GET('/api/v1/environments/{id}/containers/{container}/metrics', { params: { path: { id, container }, query }, signal }))
}

function momentOf(seconds: number): string {
  return new Date(seconds * 1_000).toISOString()
}
