/** Identity providers as the hub has them, and with whom a user is linked. */
import { useQuery } from '@tanstack/vue-query'
import { computed } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import { useMe } from '@/features/identity/composables/session'
import { useInvalidate } from '@/shared/lib/liveUpdates'

/** As many as the hub gives at once; it keeps fewer providers. */
const PART = 200

/** Every provider, by name. */
export function useProviders() {
  return useQuery({
    queryKey: keys.identityProviders,
    queryFn: async ({ signal }) => (await take(api.GET('/api/v1/identity-providers', { params: { query: { limit: PART } }, signal }))).items,
  })
}

/** Those by which one can sign in: what anybody may know. */
export function useSignInProviders() {
  return useQuery({
    queryKey: keys.signInProviders,
    queryFn: async ({ signal }) => (await take(api.GET('/api/v1/auth/providers', { signal }))).items,
    meta: { public: true },
    staleTime: 60_000,
  })
}

/** With whom the user is linked. */
export function useIdentities() {
  const me = useMe()
  return useQuery({
    queryKey: computed(() => [...keys.identities, me.value.id]),
    queryFn: ({ signal }) => take(api.GET('/api/v1/me/identities', { signal })),
    enabled: computed(() => me.value.id !== null),
  })
}

/** Environments that a mapping may name. */
export function useNamedEnvironments() {
  return useQuery({
    queryKey: [...keys.environments, 'to-map'],
    queryFn: async ({ signal }) => (await take(api.GET('/api/v1/environments', { params: { query: { limit: PART } }, signal }))).items,
  })
}

/** Reads again what hangs together here. */
export function useProvidersChanged(): () => void {
  const invalidate = useInvalidate()
  return () => {
    invalidate(keys.identityProviders, keys.signInProviders, keys.access, keys.identities)
  }
}
