/** Environments, and the agents that carry them, as the hub knows them now. */
import { keepPreviousData, useQueries, useQuery } from '@tanstack/vue-query'
import { computed, type ComputedRef, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Agent, Environment, EnvironmentKind } from '@/api/types'
import { useRefreshInterval } from '@/shared/lib/liveUpdates'

/** What can be asked for: of those that are online, some are degraded, and some have alerts. */
export const STATES = ['online', 'degraded', 'alerting', 'offline', 'pending', 'quarantined', 'revoked'] as const
export type WantedState = (typeof STATES)[number]
export const KINDS: EnvironmentKind[] = ['local', 'tcp', 'edge']

/** As many as the hub gives at once: a choice of more would be none. */
const NAMES_MAX = 200
/** Rows that are asked for at once. */
const CHUNK = 50

/** By group first: the others draw no headings. */
export const SORTS = ['group', 'name', 'state', '-running', '-last_seen'] as const
export type EnvironmentSort = (typeof SORTS)[number]

export interface EnvironmentFilter {
  search: string
  state: WantedState | null
  kind: EnvironmentKind | null
  /** The id of a group; `none` is those in none, and an empty text all of them. */
  group: string
  /** `key` or `key=value`. */
  label: string
  sort: EnvironmentSort
}

/** Which environments the hub is asked for, in whatever order. */
export function wantedOf({ search, state, kind, group, label }: EnvironmentFilter) {
  return {
    ...(search ? { search } : {}),
    ...(state ? { state } : {}),
    ...(kind ? { kind } : {}),
    ...(group ? { group } : {}),
    ...(label ? { label } : {}),
  }
}

/** Rows of the list, from the first to the one before the last. */
export interface Range {
  start: number
  end: number
}

/** The environments that a filter lets through. Only those are read, and read again, that somebody looks at. */
export function useEnvironments(filter: Ref<EnvironmentFilter>, seen: Ref<Range>) {
  const refetchInterval = useRefreshInterval()
  const ask = (offset: number) => ({
    queryKey: [...keys.environments, filter.value, offset],
    queryFn: async ({ signal }: { signal: AbortSignal }) => {
      const query = { limit: CHUNK, offset, sort: filter.value.sort, ...wantedOf(filter.value) }
      const found = await take(api.GET('/api/v1/environments', { params: { query }, signal }))
      return { ...found, items: found.items.map(measured) }
    },
  })
  // The first chunk says how many there are.
  const first = useQuery(computed(() => ({ ...ask(0), placeholderData: keepPreviousData, refetchInterval: refetchInterval.value })))
  const further = useQueries({
    queries: computed(() => chunksOf(seen.value).map((offset) => ({ ...ask(offset), refetchInterval: refetchInterval.value }))),
  })
  const rows = computed(() => {
    const found = new Map<number, Environment>()
    const lists = [first.data.value, ...further.value.map((query) => query.data)]
    const offsets = [0, ...chunksOf(seen.value)]
    for (const [index, list] of lists.entries()) {
      for (const [row, environment] of (list?.items ?? []).entries()) found.set((offsets[index] ?? 0) + row, environment)
    }
    return found
  })
  return { ...first, total: computed(() => first.data.value?.total), rows }
}

/** Where the chunks begin that hold these rows; the first is always there. */
export function chunksOf({ start, end }: Range): number[] {
  const first = Math.max(1, Math.floor(start / CHUNK))
  const last = Math.floor(Math.max(0, end - 1) / CHUNK)
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => (first + index) * CHUNK)
}

/** The environments that a filter lets choose from. */
export function useEnvironmentNames() {
  const { data } = useQuery({
    queryKey: [...keys.environments, 'names'],
    queryFn: ({ signal }) => take(api.GET('/api/v1/environments', { params: { query: { limit: NAMES_MAX } }, signal })),
    placeholderData: keepPreviousData,
  })
  return computed(() => (data.value?.items ?? []).map(({ id, name }) => ({ id, name })))
}

export function useEnvironment(id: Ref<string>) {
  return useQuery({
    queryKey: computed(() => keys.environment(id.value)),
    queryFn: async ({ signal }) => measured(await take(api.GET('/api/v1/environments/{id}', { params: { path: { id: id.value } }, signal }))),
    refetchInterval: useRefreshInterval(),
  })
}

/** The agent that carries an edge environment; they share their name. */
export function useAgentOf(environment: ComputedRef<Environment | undefined>) {
  return useQuery({
    queryKey: computed(() => [...keys.agents, { name: environment.value?.name }]),
    queryFn: async ({ signal }): Promise<Agent | null> => {
      const name = environment.value?.name
      const found = await take(api.GET('/api/v1/agents', { params: { query: { name } }, signal }))
      return found.items.find((agent) => agent.environment_id === environment.value?.id) ?? null
    },
    enabled: computed(() => environment.value?.kind === 'edge'),
    refetchInterval: useRefreshInterval(),
  })
}

/** The environment, or its agent, without a round trip where none was measured: over a network none takes no time. */
export function measured<T extends { kind?: EnvironmentKind; rtt_ms?: number | null }>(carried: T): T {
  const isMeasured = carried.kind === 'local' || (carried.rtt_ms ?? 0) > 0
  return isMeasured ? carried : { ...carried, rtt_ms: null }
}

/** Whether what the hub says of its engine is the present. */
export function isPresent(environment: Environment): boolean {
  return environment.state === 'online'
}
