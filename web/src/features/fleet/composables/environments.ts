/** Environments, and the agents that carry them, as the hub knows them now. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type ComputedRef, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Agent, Environment, EnvironmentKind, EnvironmentState } from '@/api/types'
import { useRefreshInterval } from '@/shared/lib/liveUpdates'

export const STATES: EnvironmentState[] = ['online', 'offline', 'pending', 'quarantined', 'revoked']
export const KINDS: EnvironmentKind[] = ['local', 'tcp', 'edge']

/** Rows of one page of the list: what a person can look over, and a browser draws at once. */
export const PAGE_SIZE = 50

export interface EnvironmentFilter {
  name: string
  state: EnvironmentState | null
  kind: EnvironmentKind | null
  page: number
}

export function useEnvironments(filter: Ref<EnvironmentFilter>) {
  return useQuery({
    queryKey: computed(() => [...keys.environments, filter.value]),
    queryFn: ({ signal }) => {
      const { name, state, kind, page } = filter.value
      const query = {
        limit: PAGE_SIZE,
        offset: (page - 1) * PAGE_SIZE,
        ...(name ? { search: name } : {}),
        ...(state ? { state } : {}),
        ...(kind ? { kind } : {}),
      }
      return take(api.GET('/api/v1/environments', { params: { query }, signal }))
    },
    placeholderData: keepPreviousData,
    refetchInterval: useRefreshInterval(),
  })
}

export function useEnvironment(id: Ref<string>) {
  return useQuery({
    queryKey: computed(() => keys.environment(id.value)),
    queryFn: ({ signal }) => take(api.GET('/api/v1/environments/{id}', { params: { path: { id: id.value } }, signal })),
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

/** Whether what the hub says of its engine is the present. */
export function isPresent(environment: Environment): boolean {
  return environment.state === 'online'
}
