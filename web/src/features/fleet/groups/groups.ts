/** The groups of environments, and what an administrator does with them. */
import { useMutation, useQuery } from '@tanstack/vue-query'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Group } from '@/api/types'
import { useInvalidate, useRefreshInterval } from '@/shared/lib/liveUpdates'

/** The hub keeps at most as many as five such parts hold. */
const PART = 200

/** Every group, by name. */
export function useGroups() {
  return useQuery({
    queryKey: keys.groups,
    queryFn: async ({ signal }): Promise<Group[]> => {
      const found: Group[] = []
      for (;;) {
        const { items, total } = await take(api.GET('/api/v1/groups', { params: { query: { limit: PART, offset: found.length } }, signal }))
        found.push(...items)
        if (items.length === 0 || found.length >= total) return found
      }
    },
    refetchInterval: useRefreshInterval(),
  })
}

export function useGroupActions() {
  const invalidate = useInvalidate()
  const refresh = () => {
    invalidate(keys.groups, keys.environments)
  }
  const create = useMutation({
    mutationFn: (name: string) => take(api.POST('/api/v1/groups', { body: { name } })),
    onSuccess: refresh,
  })
  const rename = useMutation({
    mutationFn: ({ id, name }: { id: string; name: string }) => take(api.PATCH('/api/v1/groups/{id}', { params: { path: { id } }, body: { name } })),
    onSuccess: refresh,
  })
  const remove = useMutation({
    mutationFn: (id: string) => take(api.DELETE('/api/v1/groups/{id}', { params: { path: { id } } })),
    onSuccess: refresh,
  })
  return { create, rename, remove }
}
