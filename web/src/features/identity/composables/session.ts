/** Who uses this browser. */
import { useQuery, type QueryClient } from '@tanstack/vue-query'
import { computed, type ComputedRef } from 'vue'

import { api, take } from '@/api/client'
import { ApiFailure } from '@/api/failure'
import { keys } from '@/api/queries'
import type { Me, Permission } from '@/api/types'

const askMe = {
  queryKey: keys.me,
  queryFn: ({ signal }: { signal: AbortSignal }) => take(api.GET('/api/v1/me', { signal })),
  staleTime: 60_000,
}

const askSetup = {
  queryKey: keys.setup,
  queryFn: ({ signal }: { signal: AbortSignal }) => take(api.GET('/api/v1/setup', { signal })),
  staleTime: 0,
}

/** The caller, or null without a session. Where the hub cannot be asked, the page itself shall say so. */
export async function loadMe(queries: QueryClient): Promise<Me | null> {
  try {
    return await queries.ensureQueryData(askMe)
  } catch (failure) {
    if (failure instanceof ApiFailure && failure.status === 401) return null
    return NOBODY
  }
}

/** Whether the hub waits for its first user. */
export async function loadSetup(queries: QueryClient): Promise<boolean> {
  try {
    const setup = await queries.fetchQuery(askSetup)
    return setup.needed
  } catch {
    return false
  }
}

const NOBODY: Me = { kind: 'user', id: null, name: '', role: 'viewer', permissions: [], credential: null, second_factor_due: false }

export function useMe(): ComputedRef<Me> {
  const { data } = useQuery(askMe)
  return computed(() => data.value ?? NOBODY)
}

/** Whether the user has a permission: what they may not do is not shown. The hub decides by itself. */
export function useMay(permission: Permission): ComputedRef<boolean> {
  const me = useMe()
  return computed(() => me.value.permissions.includes(permission))
}
