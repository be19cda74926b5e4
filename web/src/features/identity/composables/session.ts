/** Who uses this browser. */
import { useQuery, type QueryClient } from '@tanstack/vue-query'
import { computed, inject, provide, type ComputedRef, type InjectionKey, type Ref } from 'vue'

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

const NOBODY: Me = { kind: 'user', id: null, name: '', role: 'viewer', permissions: [], permissions_somewhere: [], credential: null, second_factor_due: false }

export function useMe(): ComputedRef<Me> {
  const { data } = useQuery(askMe)
  return computed(() => data.value ?? NOBODY)
}

/** What the hub says may be done in one environment. */
interface Place {
  permissions?: Permission[] | null
}

const hereKey: InjectionKey<ComputedRef<Permission[]>> = Symbol('permissions here')

/** For a page of one environment: what the user may do there, which everything on the page goes by. */
export function usePlace(environment: Ref<Place | undefined>): ComputedRef<Permission[]> {
  const me = useMe()
  const here = computed(() => permissionsIn(me.value, environment.value))
  provide(hereKey, here)
  return here
}

/** What a user may do in an environment. While nothing is known of it, that is what they may do everywhere. */
export function permissionsIn({ permissions }: Me, environment: Place | undefined): Permission[] {
  return [...new Set([...permissions, ...(environment?.permissions ?? [])])]
}

/** What the user may do in the environment that the page is of; on any other page, what they may do in at least one. */
export function useAllowed(): ComputedRef<Permission[]> {
  const me = useMe()
  const here = inject(hereKey, null)
  return computed(() => here?.value ?? me.value.permissions_somewhere)
}

/** Whether the user may do something here: what they may not do is not shown. The hub decides by itself. */
export function useMay(permission: Permission): ComputedRef<boolean> {
  const allowed = useAllowed()
  return computed(() => allowed.value.includes(permission))
}

/** The same of what concerns the hub as a whole, such as its users and which environments it has. */
export function useMayEverywhere(permission: Permission): ComputedRef<boolean> {
  const me = useMe()
  return computed(() => me.value.permissions.includes(permission))
}
