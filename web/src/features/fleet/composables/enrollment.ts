/** Which hosts a token brought in, and which it kept out. */
import { useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Agent, EnvironmentState } from '@/api/types'

import { measured } from './environments'

/** While somebody waits for a host, asking often costs little and is noticed. */
const ASK_MS = 2_000
/** Hosts shown while they arrive. */
const SHOWN_MAX = 50

/** The agents that a token let in. */
export function useArrivals(token: Ref<string>) {
  return useQuery({
    queryKey: computed(() => [...keys.agents, { token: token.value }]),
    queryFn: async ({ signal }) => {
      const query = { enrolled_with: token.value, limit: SHOWN_MAX }
      const found = await take(api.GET('/api/v1/agents', { params: { query }, signal }))
      return { ...found, items: found.items.map(measured) }
    },
    refetchInterval: ASK_MS,
  })
}

/** The attempts that the hub refused, as its audit log has them. */
export function useRefusals(token: Ref<string>) {
  return useQuery({
    queryKey: computed(() => keys.enrollmentUses(token.value)),
    queryFn: async ({ signal }) => {
      const query = { action: 'enrollment_token.use', target_id: token.value, limit: SHOWN_MAX }
      const records = await take(api.GET('/api/v1/audit', { params: { query }, signal }))
      return records.items.filter((record) => record.outcome === 'denied')
    },
    refetchInterval: ASK_MS,
  })
}

/** How a host that a token let in stands. One that was never seen has enrolled a moment ago and is on its way: not offline. */
export function standingOf(agent: Pick<Agent, 'state' | 'online' | 'last_seen'>): EnvironmentState | 'connecting' {
  if (agent.state !== 'active') return agent.state
  if (agent.online) return 'online'
  return agent.last_seen ? 'offline' : 'connecting'
}

const GROUP = 4

/** A fingerprint in groups, as two people can compare it aloud. */
export function grouped(fingerprint: string): string {
  return fingerprint.match(new RegExp(`.{1,${GROUP}}`, 'g'))?.join(' ') ?? fingerprint
}
