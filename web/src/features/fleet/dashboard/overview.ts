/** All environments in numbers, and the groups in which they stand. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Overview } from '@/api/types'
import { useRefreshInterval } from '@/shared/lib/liveUpdates'

import { wantedOf, type EnvironmentFilter } from '../composables/environments'
import type { Section } from './lines'

/** The numbers of the environments that a filter lets through; of all of them where none is given. */
export function useOverview(filter?: Ref<EnvironmentFilter>) {
  const query = computed(() => (filter ? wantedOf(filter.value) : {}))
  return useQuery({
    queryKey: computed(() => [...keys.environments, 'overview', query.value]),
    queryFn: ({ signal }): Promise<Overview> => take(api.GET('/api/v1/overview', { params: { query: query.value }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: useRefreshInterval(),
  })
}

/** The sections of a list of so many environments: its groups, where it stands by group and there are any. */
export function sectionsOf(overview: Overview | undefined, total: number, ungrouped: string): Section[] {
  const groups = overview?.groups ?? []
  const known = groups.reduce((sum, { environments }) => sum + environments.total, 0)
  // The list and the numbers are read apart: where they differ for a moment, no heading is better than a wrong one.
  if (known !== total || !groups.some(({ group }) => group)) return [{ id: null, heading: null, count: total }]
  return groups.map(({ group, environments }) => ({ id: group?.id ?? null, heading: group?.name ?? ungrouped, count: environments.total }))
}
