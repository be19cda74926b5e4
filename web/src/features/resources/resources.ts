/** Images, volumes and networks as lists: what is asked of the hub, and what is shown of each. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import { useRefreshInterval } from '@/shared/lib/liveUpdates'

import type { Kind } from './kinds'
import { ofImage, ofNetwork, ofVolume, type Row, type Sort } from './rows'

export const PAGE_SIZE = 50

export interface Filter {
  /** Only those of this environment. */
  environment: string | null
  search: string
  used: boolean | null
  sort: Sort
  page: number
}

export function useResources(kind: Ref<Kind>, filter: Ref<Filter>) {
  return useQuery({
    queryKey: computed(() => [...keys.resources, kind.value, filter.value]),
    queryFn: ({ signal }) => ask(kind.value, filter.value, signal),
    placeholderData: keepPreviousData,
    refetchInterval: useRefreshInterval(),
  })
}

async function ask(kind: Kind, { environment, search, used, sort, page }: Filter, signal: AbortSignal): Promise<{ items: Row[]; total: number }> {
  const query = { limit: PAGE_SIZE, offset: (page - 1) * PAGE_SIZE, sort, ...(environment ? { environment } : {}), ...(search ? { search } : {}), ...(used === null ? {} : { used }) }
  const options = { params: { query }, signal }
  if (kind === 'images') return rows(await take(api.GET('/api/v1/images', options)), ofImage)
  if (kind === 'volumes') return rows(await take(api.GET('/api/v1/volumes', options)), ofVolume)
  return rows(await take(api.GET('/api/v1/networks', options)), ofNetwork)
}

function rows<T>({ items, total }: { items: T[]; total: number }, make: (item: T) => Row): { items: Row[]; total: number } {
  return { items: items.map(make), total }
}
