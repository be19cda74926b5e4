/** Which hosts a token brought in, and which it kept out. */
import { useQueries, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Agent, Environment } from '@/api/types'

/** While somebody waits for a host, asking often costs little and is noticed. */
const ASK_MS = 2_000
/** Hosts shown while they arrive. */
const SHOWN_MAX = 20

export interface Arrival {
  agent: Agent
  environment: Environment | null
}

/** Follows a token's uses through the audit log, where each is recorded under the agent that it made. */
export function useArrivals(token: Ref<string>) {
  const uses = useQuery({
    queryKey: computed(() => keys.enrollmentUses(token.value)),
    queryFn: ({ signal }) => {
      const query = { action: 'enrollment_token.use', target_id: token.value, limit: SHOWN_MAX }
      return take(api.GET('/api/v1/audit', { params: { query }, signal }))
    },
    refetchInterval: ASK_MS,
  })

  const agentIds = computed(() => {
    const done = uses.data.value?.items.filter((use) => use.outcome === 'done') ?? []
    return [...new Set(done.map((use) => use.actor_id).filter((id) => id != null))]
  })
  const denied = computed(() => uses.data.value?.items.filter((use) => use.outcome === 'denied') ?? [])

  const arrivals = useQueries({
    queries: computed(() =>
      agentIds.value.map((id) => ({
        queryKey: [...keys.agents, 'arrival', id],
        queryFn: () => loadArrival(id),
        refetchInterval: ASK_MS,
      })),
    ),
  })

  return {
    uses,
    denied,
    arrivals: computed(() => arrivals.value.map((query) => query.data).filter((arrival) => arrival !== undefined)),
  }
}

async function loadArrival(id: string): Promise<Arrival> {
  const agent = await take(api.GET('/api/v1/agents/{id}', { params: { path: { id } } }))
  const environment = await take(api.GET('/api/v1/environments/{id}', { params: { path: { id: agent.environment_id } } }))
  return { agent, environment }
}

const GROUP = 4

/** A fingerprint in groups, as two people can compare it aloud. */
export function grouped(fingerprint: string): string {
  return fingerprint.match(new RegExp(`.{1,${GROUP}}`, 'g'))?.join(' ') ?? fingerprint
}
