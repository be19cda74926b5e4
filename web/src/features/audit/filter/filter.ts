/** Which records a list shows. It lives in the address, so that a reload and a shared link keep it. */
import { computed, ref, watch } from 'vue'
import { useRoute, useRouter, type LocationQuery } from 'vue-router'

import { debounced } from '@/shared/lib/debounce'
import { asked } from '@/shared/lib/lists'

export const OUTCOMES = ['done', 'denied', 'failed', 'begun'] as const
export type Outcome = (typeof OUTCOMES)[number]
/** What the names of actions begin with. */
export const AREAS = ['user', 'session', 'identity_provider', 'token_family', 'api_token', 'enrollment_token', 'agent', 'environment', 'group', 'container', 'terminal', 'recording', 'image', 'job', 'permission', 'hub', 'audit'] as const
export type Area = (typeof AREAS)[number]

export interface AuditFilter {
  /** A text in a name, the action or the details. */
  q: string
  actor: string
  area: Area | ''
  outcome: Outcome | ''
  /** The id of an environment; an empty text is all of them. */
  environment: string
  /** The first and the last day, as a date field has them. */
  from: string
  until: string
}

/** What the hub is asked for. */
export interface Wanted {
  q?: string
  actor?: string
  action?: string
  outcome?: Outcome
  environment_id?: string
  from?: string
  until?: string
}

export function useAuditFilter() {
  const router = useRouter()
  const first = filterOf(useRoute().query)
  const [q, actor] = [ref(first.q), ref(first.actor)]
  const area = ref(first.area)
  const outcome = ref(first.outcome)
  const environment = ref(first.environment)
  const [from, until] = [ref(first.from), ref(first.until)]
  const settledText = debounced(q)
  const settledActor = debounced(actor)

  const filter = computed<AuditFilter>(() => ({
    q: settledText.value,
    actor: settledActor.value,
    area: area.value,
    outcome: outcome.value,
    environment: environment.value,
    from: from.value,
    until: until.value,
  }))
  const wanted = computed(() => wantedOf(filter.value))
  const isFiltered = computed(() => Object.keys(wanted.value).length > 0)

  watch(filter, (chosen) => {
    void router.replace({ query: queryOf(chosen) })
  })

  return { q, actor, area, outcome, environment, from, until, wanted, isFiltered }
}

export function filterOf(query: LocationQuery): AuditFilter {
  return {
    q: asked(query.q),
    actor: asked(query.actor),
    area: AREAS.find((known) => known === query.area) ?? '',
    outcome: OUTCOMES.find((known) => known === query.outcome) ?? '',
    environment: asked(query.environment),
    from: startOf(asked(query.from)) ? asked(query.from) : '',
    until: startOf(asked(query.until)) ? asked(query.until) : '',
  }
}

/** What stands in the address. */
export function queryOf(filter: AuditFilter): Record<string, string> {
  return Object.fromEntries(Object.entries(filter).flatMap(([name, value]: [string, string]) => (value.trim() ? [[name, value.trim()]] : [])))
}

export function wantedOf({ area, outcome, ...filter }: AuditFilter): Wanted {
  const [q, actor] = [filter.q.trim(), filter.actor.trim()]
  const [from, until] = [startOf(filter.from), startOf(filter.until, 1)]
  return {
    ...(q && { q }),
    ...(actor && { actor }),
    ...(area && { action: `${area}.` }),
    ...(outcome && { outcome }),
    ...(filter.environment && { environment_id: filter.environment }),
    ...(from && { from }),
    ...(until && { until }),
  }
}

/** Where all that is wanted is downloaded. */
export function exportUrl(format: 'csv' | 'json', wanted: Wanted): string {
  return `/api/v1/audit/export?${new URLSearchParams({ format, ...wanted }).toString()}`
}

/** When a day begins where the browser is, or one after it; nothing for what is no day. */
function startOf(day: string, later = 0): string | undefined {
  const parts = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day)
  if (!parts) return undefined
  const [year, month, date] = parts.slice(1).map(Number) as [number, number, number]
  const moment = new Date(year, month - 1, date + later)
  return Number.isNaN(moment.getTime()) ? undefined : moment.toISOString()
}
