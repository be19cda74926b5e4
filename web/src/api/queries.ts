/** How the hub's answers are kept, and the names under which they are. */
import { MutationCache, QueryCache, QueryClient } from '@tanstack/vue-query'

import { ApiFailure } from './failure'

/** Every query key of the console starts with one of these. */
export const keys = {
  setup: ['setup'] as const,
  me: ['me'] as const,
  environments: ['environments'] as const,
  environment: (id: string) => ['environment', id] as const,
  containers: (environment: string) => ['containers', environment] as const,
  containerDetails: (environment: string, container: string) => ['container-details', environment, container] as const,
  allContainers: ['all-containers'] as const,
  resources: ['resources'] as const,
  activity: ['activity'] as const,
  audit: ['audit'] as const,
  vaultKeys: ['vault-keys'] as const,
  auditShipping: ['audit-shipping'] as const,
  groups: ['groups'] as const,
  recordings: ['recordings'] as const,
  metrics: (environment: string) => ['metrics', environment] as const,
  agents: ['agents'] as const,
  enrollmentTokens: ['enrollment-tokens'] as const,
  sessions: ['sessions'] as const,
  apiTokens: ['api-tokens'] as const,
  tokenFamilies: ['token-families'] as const,
  secondFactor: ['second-factor'] as const,
  passkeys: ['passkeys'] as const,
  signInSettings: ['sign-in-settings'] as const,
  ways: ['ways'] as const,
  ownContact: ['own-contact'] as const,
  invitations: ['invitations'] as const,
  mail: ['mail'] as const,
  enrollmentUses: (token: string) => ['enrollment-uses', token] as const,
  users: ['users'] as const,
  access: ['access'] as const,
  identityProviders: ['identity-providers'] as const,
  signInProviders: ['sign-in-providers'] as const,
  identities: ['identities'] as const,
  jobs: ['jobs'] as const,
  job: (id: string) => ['jobs', id] as const,
}

/** How often a visible list is read again while live updates run: for what changes without an event. */
export const REFRESH_LIVE_MS = 30_000
/** The same while there are no live updates. */
export const REFRESH_POLLING_MS = 10_000

const RETRIES = 1

/** A client that calls `onSignedOut` when the hub no longer knows the session, and `onFactorDue` when it asks for a second factor first. */
export function createQueries(onSignedOut: () => void, onFactorDue: () => void): QueryClient {
  const watch = (error: unknown) => {
    if (!(error instanceof ApiFailure)) return
    if (error.status === 401 && error.code === 'unauthorized') onSignedOut()
    if (error.status === 403 && error.code === 'second_factor_setup_required') onFactorDue()
  }
  return new QueryClient({
    queryCache: new QueryCache({
      onError: (error, query) => {
        if (query.queryKey[0] !== keys.me[0]) watch(error)
      },
    }),
    mutationCache: new MutationCache({
      onError: (error, _variables, _result, mutation) => {
        if (mutation.meta?.public !== true) watch(error)
      },
    }),
    defaultOptions: {
      queries: {
        // The hub may well be reachable where the browser believes it is offline.
        networkMode: 'always',
        retry: (failures, error) => error instanceof ApiFailure && error.isPassing && failures < RETRIES,
        retryDelay: 1_000,
        staleTime: 2_000,
        gcTime: 5 * 60_000,
        // An answer is replaced and never changed: what is in it need not be watched, which costs a chart more than its drawing.
        shallow: true,
      },
      mutations: { networkMode: 'always', retry: false },
    },
  })
}
