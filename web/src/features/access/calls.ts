/** Teams, roles and grants as the hub has them, and what is done to them. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, toValue, type MaybeRefOrGetter, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { User } from '@/api/types'
import type { Part } from '@/shared/lib/lists'
import { useInvalidate, useRefreshInterval } from '@/shared/lib/liveUpdates'

import { SHOWN_MAX, type AccessRole, type Grant, type Team, type TeamMember } from './access'

/** As many as the hub gives at once. */
const PART = 200
/** Nobody looks through more than this many parts of a list. */
const PARTS_MAX = 100

/** A whole list, part by part: it is searched and counted here. */
async function whole<T>(ask: (part: Part) => Promise<{ items: T[]; total: number }>): Promise<T[]> {
  const found: T[] = []
  for (let part = 0; part < PARTS_MAX; part++) {
    const { items, total } = await ask({ limit: PART, offset: found.length })
    found.push(...items)
    if (items.length === 0 || found.length >= total) break
  }
  return found
}

export function useRoles() {
  return useQuery({
    queryKey: [...keys.access, 'roles'],
    queryFn: ({ signal }): Promise<AccessRole[]> => whole((query) => take(api.GET('/api/v1/roles', { params: { query }, signal }))),
    refetchInterval: useRefreshInterval(),
  })
}

export function useTeams() {
  return useQuery({
    queryKey: [...keys.access, 'teams'],
    queryFn: ({ signal }): Promise<Team[]> => whole((query) => take(api.GET('/api/v1/teams', { params: { query }, signal }))),
    refetchInterval: useRefreshInterval(),
  })
}

/** Every grant, the newest first. There may be many thousands: they are read when somebody looks, not again and again. */
export function useGrants() {
  return useQuery({
    queryKey: [...keys.access, 'grants'],
    queryFn: ({ signal }): Promise<Grant[]> => whole((query) => take(api.GET('/api/v1/grants', { params: { query }, signal }))),
  })
}

/** Who is in a team. */
export function useMembers(team: MaybeRefOrGetter<string>) {
  return useQuery({
    queryKey: computed(() => [...keys.access, 'members', toValue(team)]),
    queryFn: ({ signal }): Promise<TeamMember[]> => {
      const path = { id: toValue(team) }
      return whole((query) => take(api.GET('/api/v1/teams/{id}/members', { params: { path, query }, signal })))
    },
  })
}

/** Everybody who can be granted something, or put into a team. */
export function useEverybody() {
  return useQuery({
    queryKey: [...keys.users, 'all'],
    queryFn: ({ signal }): Promise<User[]> => whole((query) => take(api.GET('/api/v1/users', { params: { query }, signal }))),
  })
}

/** Reads again what hangs together here. What somebody is granted may be the reader's own. */
export function useAccessChanged(): () => void {
  const invalidate = useInvalidate()
  return () => {
    invalidate(keys.access, keys.me)
  }
}

/** Environments with this text in their name, as far as they are shown. */
export function useFoundEnvironments(search: Ref<string>, enabled: Ref<boolean>) {
  return useQuery({
    queryKey: computed(() => [...keys.environments, 'to-grant', search.value]),
    queryFn: ({ signal }) => take(api.GET('/api/v1/environments', { params: { query: { limit: SHOWN_MAX, ...(search.value && { search: search.value }) } }, signal })),
    enabled,
    placeholderData: keepPreviousData,
  })
}
