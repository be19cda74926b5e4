/** The containers of one environment, or of all. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Container } from '@/api/types'
import { useRefreshInterval } from '@/shared/lib/liveUpdates'
import { relative, useNow } from '@/shared/lib/formats/time'

import type { SortParameter } from '../list/columns'

export const PAGE_SIZE = 50

/** The states of Docker's own API. */
export const STATES = ['running', 'exited', 'created', 'paused', 'restarting', 'removing', 'dead'] as const
export type ContainerState = (typeof STATES)[number]

export const STATE_TONES: Record<ContainerState, 'good' | 'warn' | 'bad' | 'plain'> = {
  running: 'good',
  exited: 'plain',
  created: 'plain',
  paused: 'warn',
  restarting: 'warn',
  removing: 'warn',
  dead: 'bad',
}

export function stateOf(container: Container): ContainerState | null {
  return STATES.find((state) => state === container.state) ?? null
}

/** What the badge does not say: for how long, or how it ended, and how its health is. */
export function useContainerDetail(container: Ref<Container>) {
  const { t, locale } = useI18n()
  const now = useNow()
  return computed(() => {
    const { state, started_at: started, finished_at: finished, exit_code: code, health } = container.value
    const past = (moment: string) => relative(moment, now.value, locale.value, 'past')
    const texts = []
    if (HEALTHS.some((known) => known === health)) texts.push(t(`containers.health.${health}`))
    if (code != null && finished) texts.push(t('containers.ended', { code, time: past(finished) }))
    else if (state === 'running' && started) texts.push(t('containers.started', { time: past(started) }))
    return texts.join(' · ')
  })
}

const HEALTHS = ['healthy', 'unhealthy', 'starting']

export interface ContainerFilter {
  search: string
  state: ContainerState | null
  /** `key` or `key=value`. */
  label: string
  sort: SortParameter
  page: number
}

/** A container in a list; over all environments it says in which it is. */
export type ListedContainer = Container & { environment_name?: string }

interface ContainerPageOfList {
  items: ListedContainer[]
  total: number
}

/** The containers of an environment; of all of them where none is named. */
export function useContainers(environment: Ref<string | null>, filter: Ref<ContainerFilter>) {
  return useQuery({
    queryKey: computed(() => [...(environment.value === null ? keys.allContainers : keys.containers(environment.value)), filter.value]),
    queryFn: ({ signal }): Promise<ContainerPageOfList> => {
      const { search, state, label, sort, page } = filter.value
      const query = { limit: PAGE_SIZE, offset: (page - 1) * PAGE_SIZE, sort, ...(search ? { search } : {}), ...(state ? { state } : {}), ...(label ? { label } : {}) }
      const id = environment.value
      if (id === null) return take(api.GET('/api/v1/containers', { params: { query }, signal }))
      return take(api.GET('/api/v1/environments/{id}/containers', { params: { path: { id }, query }, signal }))
    },
    placeholderData: keepPreviousData,
    refetchInterval: useRefreshInterval(),
  })
}

/** One container by its id; null where there is none. */
export function useContainer(environment: Ref<string>, container: Ref<string>) {
  return useQuery({
    queryKey: computed(() => [...keys.containers(environment.value), { id: container.value }]),
    queryFn: async ({ signal }): Promise<Container | null> => {
      const options = { params: { path: { id: environment.value }, query: { limit: PAGE_SIZE, search: container.value } }, signal }
      const { items } = await take(api.GET('/api/v1/environments/{id}/containers', options))
      return items.find(({ id }) => id === container.value) ?? null
    },
    refetchInterval: useRefreshInterval(),
  })
}

/** A published port as it is typed into a browser, or the bare one. */
export function portText(port: Container['ports'][number]): string {
  const inside = `${port.private}/${port.protocol}`
  if (port.public == null) return inside
  const everywhere = !port.address || port.address === '0.0.0.0' || port.address === '::'
  return everywhere ? `${port.public} → ${inside}` : `${port.address}:${port.public} → ${inside}`
}

/** The ports, each once: an engine lists IPv4 and IPv6 apart. */
export function portTexts(container: Container): string[] {
  return [...new Set(container.ports.map(portText))]
}
