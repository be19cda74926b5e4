/** What would be in the container's way, asked while its ports and name are typed. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, take } from '@/api/client'
import type { PublishedPort } from '@/api/types'
import { debounced } from '@/shared/lib/debounce'

export interface Wanted {
  name: string | null
  ports: PublishedPort[]
  instead_of: string | null
}

export function useConflicts(environment: Ref<string>, wanted: Ref<Wanted>) {
  const asked = debounced(computed(() => JSON.stringify(wanted.value)))
  return useQuery({
    queryKey: computed(() => ['container-conflicts', environment.value, asked.value]),
    queryFn: ({ signal }) => {
      const body = JSON.parse(asked.value) as Wanted
      return take(api.POST('/api/v1/environments/{id}/containers/check', { params: { path: { id: environment.value } }, body, signal }))
    },
    placeholderData: keepPreviousData,
  })
}
