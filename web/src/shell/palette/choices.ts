/** What the palette offers: where to go, in the order in which it is shown. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type ComputedRef, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import { useMay, useMayEverywhere } from '@/features/identity/composables/session'
import { matchingText } from '@/shared/lib/lists'

import { usePages } from '../pages'

export type Kind = 'page' | 'environment' | 'container'

/** Somewhere to go. */
export interface Choice {
  kind: Kind
  /** A path of this console; no two choices have the same. */
  path: string
  label: string
  /** Where it is, or how. */
  detail?: string
}

export interface Section {
  title: 'recent' | 'page' | 'environment' | 'container'
  choices: Choice[]
}

/** Of a kind that are asked for at once. */
const FOUND_MAX = 7

/** The environments with this text, as far as they are shown. */
export function useFoundEnvironments(search: Ref<string>) {
  const { t } = useI18n()
  const { data, isFetching } = useQuery({
    queryKey: computed(() => [...keys.environments, 'palette', search.value]),
    queryFn: ({ signal }) => take(api.GET('/api/v1/environments', { params: { query: { search: search.value, limit: FOUND_MAX } }, signal })),
    enabled: computed(() => search.value !== ''),
    placeholderData: keepPreviousData,
  })
  const found = computed<Choice[]>(() =>
    (data.value?.items ?? []).map(({ id, name, state, group }) => ({
      kind: 'environment',
      path: `/environments/${id}`,
      label: name,
      detail: [group?.name, t(`environmentState.${state}`)].filter(Boolean).join(' · '),
    })),
  )
  return { found, isFetching }
}

/** The containers with this text, of all environments, as far as they are shown. */
export function useFoundContainers(search: Ref<string>) {
  const { data, isFetching } = useQuery({
    queryKey: computed(() => [...keys.allContainers, 'palette', search.value]),
    queryFn: ({ signal }) => take(api.GET('/api/v1/containers', { params: { query: { search: search.value, limit: FOUND_MAX } }, signal })),
    enabled: computed(() => search.value !== ''),
    placeholderData: keepPreviousData,
  })
  const found = computed<Choice[]>(() =>
    (data.value?.items ?? []).map((container) => ({
      kind: 'container',
      path: `/environments/${container.environment_id}/containers/${container.id}`,
      label: container.name,
      detail: `${container.environment_name} · ${container.image}`,
    })),
  )
  return { found, isFetching }
}

/** Every page that has an address of its own. */
export function usePageChoices(): ComputedRef<Choice[]> {
  const { t } = useI18n()
  const pages = usePages()
  const mayRead = useMay('containers.logs')
  const mayAdd = useMayEverywhere('environments.manage')
  return computed(() => {
    const further = mayAdd.value
      ? [
          { to: '/environments/add', label: t('add.title') },
          { to: '/environments/add/edge', label: t('edge.title') },
          { to: '/environments/add/tcp', label: t('tcp.title') },
        ]
      : []
    const logs = mayRead.value ? [{ to: '/logs', label: t('logs.title') }] : []
    return [...pages.value, ...logs, ...further].map(({ to, label }) => ({ kind: 'page', path: to, label }))
  })
}

/** Those whose name has every word of a text. */
export function matching(choices: Choice[], text: string): Choice[] {
  return matchingText(choices, text, ({ label }) => label)
}
