/** What a row of the list says of an environment, in the user's language. */
import { computed } from 'vue'
import { useI18n } from 'vue-i18n'
import { useRouter } from 'vue-router'

import type { Environment } from '@/api/types'
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
  /** What its host uses now; empty while that is not known. */
  usage: { text: string; isHigh: boolean }[]
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
      usage: usageOf(environment.host, percents(language)).map(({ what, text, isHigh }) => {
        const said = t(`dashboard.usage.${what}`, { text })
        return { text: isHigh ? t('dashboard.usage.high', { text: said }) : said, isHigh }
      }),
      lastEvent: last ? [whatOf({ ...last, facts: {} }), last.target_name].filter(Boolean).join(' ') : '',
      labels: labelsText(environment.labels),
      lastSeen: lastSeen ? dateTime(lastSeen, language) : undefined,
    }
  }

  return (environment) => {
    const known = made.value.texts.get(environment) ?? make(environment)
    made.value.texts.set(environment, known)
    return known
  }
}

const percents = (language: string) => new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 0 })

/** From this part on there is hardly anything left. A processor may be busy for as long as it likes. */
const HIGH = { cpu: Infinity, memory: 0.95, disk: 0.9 }

/** What is known of a host's use, as parts of what there is. */
export function usageOf(host: Environment['host'], format: Intl.NumberFormat): { what: keyof typeof HIGH; text: string; isHigh: boolean }[] {
  const part = (used?: number | null, total?: number | null) => (used == null || !total ? null : used / total)
  const parts = [
    { what: 'cpu' as const, part: part(host?.cpu_percent, 100) },
    { what: 'memory' as const, part: part(host?.memory_bytes, host?.memory_total_bytes) },
    { what: 'disk' as const, part: part(host?.disk_bytes, host?.disk_total_bytes) },
  ]
  return parts.flatMap(({ what, part }) => (part === null ? [] : [{ what, text: format.format(part), isHigh: part >= HIGH[what] }]))
}

/** Labels as they are asked for, one after the other. */
export function labelsText(labels: Environment['labels']): string {
  return Object.entries(labels)
    .map(([key, value]) => (value ? `${key}=${value}` : key))
    .join('  ')
}
