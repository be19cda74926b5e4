/** The live channel as pages use it: its state, whom to watch, and how often to ask without it. */
import { useQueryClient, type QueryClient, type QueryKey } from '@tanstack/vue-query'
import { computed, inject, onScopeDispose, watch, type ComputedRef, type InjectionKey, type Ref } from 'vue'

import { Live, SILENCE_MS, type LiveEvent, type LiveSocket, type Topic } from '@/api/channels/live'
import { keys, REFRESH_LIVE_MS, REFRESH_POLLING_MS } from '@/api/queries'
import { dialHub } from '@/api/channels/socket'

import { useNow } from './formats/time'

export const liveKey: InjectionKey<Live> = Symbol('live')

/** A channel to the hub that this page came from. */
export function createLive(queries: QueryClient): Live {
  const dial = () => dialHub('/api/v1/live') as LiveSocket
  return new Live(dial, (changes) => {
    for (const queryKey of touched(changes)) void queries.invalidateQueries(queryKey ? { queryKey } : {})
  })
}

export function useLive(): Live {
  const live = inject(liveKey)
  if (!live) throw new Error('no live channel was provided')
  return live
}

/** Hears about this environment's containers while the page is open. */
export function useWatchedEnvironment(environment: Ref<string>) {
  const live = useLive()
  watch(
    environment,
    (id) => {
      live.watch(id)
    },
    { immediate: true },
  )
  onScopeDispose(() => {
    live.watch(null)
  })
}

/** Hears about a list of all environments while the page is open. */
export function useWatchedList(topic: Topic) {
  onScopeDispose(useLive().watchList(topic))
}

/** How long to wait before asking again. */
export function useRefreshInterval(): ComputedRef<number> {
  const live = useLive()
  return computed(() => (live.state.value === 'live' ? REFRESH_LIVE_MS : REFRESH_POLLING_MS))
}

/** Whether what a page read at `readAt`, and reads again by itself, may have become wrong without its knowing. */
export function useSilence(readAt: Ref<number>): ComputedRef<boolean> {
  const live = useLive()
  const now = useNow()
  return computed(() => isSilent(now.value, readAt.value, live.heardAt.value))
}

/** Whether the hub has neither answered nor said on the live channel that it is there for too long. */
export function isSilent(now: number, readAt: number, heardAt: number): boolean {
  return now - Math.max(readAt, heardAt) > SILENCE_MS
}

/** Reads again what an action has changed, without waiting for the live channel to say so. */
export function useInvalidate(): (...queryKeys: QueryKey[]) => void {
  const queries = useQueryClient()
  return (...queryKeys) => {
    for (const queryKey of queryKeys) void queries.invalidateQueries({ queryKey })
  }
}

/** The query keys that these changes make stale; `null` is all of them. */
export function touched(changes: LiveEvent[]): (QueryKey | null)[] {
  if (changes.some((change) => change.kind === 'reset')) return [null]
  const found = new Map<string, QueryKey>()
  for (const change of changes) {
    for (const key of touchedBy(change)) found.set(JSON.stringify(key), key)
  }
  return [...found.values()]
}

function touchedBy(change: LiveEvent): QueryKey[] {
  const environment = change.environment_id
  const own = environment === undefined ? [] : [keys.environment(environment)]
  switch (change.kind) {
    case 'container':
    case 'containers':
      return environment === undefined ? [] : [keys.containers(environment), keys.allContainers, keys.environments, ...own]
    case 'environment':
      return [keys.environments, keys.agents, keys.allContainers, ...own, ...(environment === undefined ? [] : [keys.containers(environment)])]
    case 'resources':
      return [keys.resources]
    case 'events':
      return [keys.activity, keys.environments]
    case 'agent':
      return [keys.environments, keys.agents, keys.enrollmentTokens, ...own]
    case 'job':
      return [keys.jobs]
    case 'groups':
      return [keys.environments, keys.groups]
    default:
      return []
  }
}
