/** What a row of the list says of an environment, in the user's language. */
import { computed } from 'vue'
import { useI18n } from 'vue-i18n'
import { useRouter } from 'vue-router'

import type { Environment, EnvironmentAlert } from '@/api/types'
import { useActivityTexts } from '@/features/activity/activity'
import { dateTime, milliseconds } from '@/shared/lib/formats/time'

/** `text` is `null` where the hub does not know. */
export interface Fact {
  label: string
  text: string | null
  title?: string
}

export interface EnvironmentTexts {
  /** Where its page is. */
  address: string
  transport: Fact
  rtt: Fact
  engine: Fact
  containers: Fact
  /** What somebody should look at now, the worst first. */
  alerts: string[]
  /** What its host uses now; empty while that is not known. */
  usage: string[]
  /** What happened on it last; empty where nothing is on record. */
  lastEvent: string
  /** `key=value`, one after the other; empty where there are none. */
  labels: string
  /** When it was last seen, in full. */
  lastSeen?: string
}

/** Makes the texts once for each answer of the hub: a list that scrolls draws its rows far more often. */
export function useEnvironmentTexts(): (environment: Environment) => EnvironmentTexts {
  const { t, locale } = useI18n()
  const router = useRouter()
  const { whatOf } = useActivityTexts()
  const made = computed(() => {
    const language = locale.value
    const labels = { transport: t('fields.transport'), rtt: t('fields.rtt'), engine: t('fields.engine'), containers: t('fields.containers') }
    return { language, labels, texts: new WeakMap<Environment, EnvironmentTexts>() }
  })

  function make(environment: Environment): EnvironmentTexts {
    const { language, labels } = made.value
    const { id, transport, rtt_ms: rtt, engine_version: version, containers, last_seen: lastSeen, last_event: last } = environment
    const system = environment.os && environment.arch ? `${environment.os}/${environment.arch}` : null
    return {
      address: router.resolve({ name: 'environment', params: { id } }).href,
      transport: { label: labels.transport, text: transport ? t(`transport.${transport}`) : null },
      rtt: { label: labels.rtt, text: rtt == null ? null : milliseconds(rtt, language) },
      engine: { label: labels.engine, text: version ?? null, title: version ? [version, system].filter(Boolean).join(' · ') : undefined },
      containers: {
        label: labels.containers,
        text: containers ? t('environments.containers', { ...containers }) : null,
        title: containers ? t('environments.containersLong', { ...containers }) : undefined,
      },
      alerts: environment.alerts.map((alert) => alertText(alert, percents(language))),
      usage: usageOf(environment.host, percents(language)).map(({ what, text }) => t(`dashboard.usage.${what}`, { text })),
      lastEvent: last ? [whatOf({ ...last, facts: {} }), last.target_name].filter(Boolean).join(' ') : '',
      labels: labelsText(environment.labels),
      lastSeen: lastSeen ? dateTime(lastSeen, language) : undefined,
    }
  }

  function alertText(alert: EnvironmentAlert, percent: Intl.NumberFormat): string {
    switch (alert.kind) {
      case 'engine_silent':
        return t('dashboard.alert.engine_silent')
      case 'policy_invalid':
        return t('dashboard.alert.policy_invalid')
      case 'engine_exposed':
        return t('dashboard.alert.engine_exposed')
      case 'disk_full':
        return t('dashboard.alert.disk_full', { percent: percent.format(alert.percent / 100) })
      case 'memory_full':
        return t('dashboard.alert.memory_full', { percent: percent.format(alert.percent / 100) })
      case 'unhealthy':
        return t('dashboard.count.unhealthy', alert.containers)
      case 'restarting':
        return t('dashboard.count.restarting', alert.containers)
    }
  }

  return (environment) => {
    const known = made.value.texts.get(environment) ?? make(environment)
    made.value.texts.set(environment, known)
    return known
  }
}

const percents = (language: string) => new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 0 })

/** What is known of a host's use, as parts of what there is. */
export function usageOf(host: Environment['host'], format: Intl.NumberFormat): { what: 'cpu' | 'memory' | 'disk'; text: string }[] {
  const part = (used?: number | null, total?: number | null) => (used == null || !total ? null : used / total)
  const parts = [
    { what: 'cpu' as const, part: part(host?.cpu_percent, 100) },
    { what: 'memory' as const, part: part(host?.memory_bytes, host?.memory_total_bytes) },
    { what: 'disk' as const, part: part(host?.disk_bytes, host?.disk_total_bytes) },
  ]
  return parts.flatMap(({ what, part }) => (part === null ? [] : [{ what, text: format.format(part) }]))
}

/** Labels as they are asked for, one after the other. */
export function labelsText(labels: Environment['labels']): string {
  return Object.entries(labels)
    .map(([key, value]) => (value ? `${key}=${value}` : key))
    .join('  ')
}
