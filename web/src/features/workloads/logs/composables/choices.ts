/** What a person chooses of logs, and what is asked of the hub for it. */
import type { LogSource, Selection } from './channel'
import { LINES_KEPT } from './ring'

/** From where on lines are shown: the last so many, or the last so long. */
export const BEGINNINGS = ['hundred', 'five_hundred', 'five_thousand', 'hundred_thousand', 'quarter', 'hour', 'day', 'moment'] as const
export type Beginning = (typeof BEGINNINGS)[number]

/** A span has no more lines than a page keeps; from a moment on there are as many as there are. */
const TAILS: Record<Beginning, number | null> = { hundred: 100, five_hundred: 500, five_thousand: 5_000, hundred_thousand: LINES_KEPT, quarter: LINES_KEPT, hour: LINES_KEPT, day: LINES_KEPT, moment: null }
const SPANS_MS: Partial<Record<Beginning, number>> = { quarter: 15 * 60_000, hour: 3_600_000, day: 86_400_000 }

export interface Choices {
  beginning: Beginning
  /** As `datetime-local` gives them, in local time; empty for none. */
  since: string
  until: string
  stream: 'both' | 'stdout' | 'stderr'
  filter: string
  isPattern: boolean
  ignoreCase: boolean
}

export function firstChoices(): Choices {
  return { beginning: 'five_hundred', since: '', until: '', stream: 'both', filter: '', isPattern: false, ignoreCase: true }
}

/** The selection for these choices, made at this moment. */
export function selectionOf(choices: Choices, now: number): Selection {
  const { beginning, stream, filter, isPattern, ignoreCase } = choices
  const span = SPANS_MS[beginning]
  const since = beginning === 'moment' ? momentOf(choices.since) : span === undefined ? null : new Date(now - span).toISOString()
  return {
    tail: TAILS[beginning],
    since,
    until: momentOf(choices.until),
    stream: stream === 'both' ? null : stream,
    text: filter !== '' && !isPattern ? filter : null,
    regex: filter !== '' && isPattern ? filter : null,
    ignore_case: filter !== '' && ignoreCase,
  }
}

/** A local moment as the API writes it. */
export function momentOf(local: string): string | null {
  const time = new Date(local).getTime()
  return local === '' || Number.isNaN(time) ? null : new Date(time).toISOString()
}

/** Where a container's log can be had as a file: all of it that fits the choices. */
export function downloadPath({ environment, container }: LogSource, select: Selection): string {
  const query = new URLSearchParams({ timestamps: 'true' })
  const { since, until, stream, text, regex } = select
  for (const [name, value] of Object.entries({ since, until, stream, text, regex })) if (value !== null) query.set(name, value)
  if (select.ignore_case) query.set('ignore_case', 'true')
  return `/api/v1/environments/${encodeURIComponent(environment)}/containers/${encodeURIComponent(container)}/logs?${query.toString()}`
}

/** A source as it stands in the page's address. */
export function sourceText({ environment, container }: LogSource): string {
  return `${environment}/${container}`
}

/** The sources of an address; what is none is passed over, and each counts once. */
export function sourcesOf(query: unknown): LogSource[] {
  const texts = (Array.isArray(query) ? query : [query]).filter((text): text is string => typeof text === 'string')
  const found = [...new Set(texts)].map((text) => /^([0-9a-f-]{36})\/([\w.-]+)$/i.exec(text))
  return found.flatMap((match) => (match?.[1] && match[2] ? [{ environment: match[1], container: match[2] }] : []))
}

/** A container's name, or the beginning of its id. */
export function shortName(container: string): string {
  return /^[0-9a-f]{64}$/.test(container) ? container.slice(0, 12) : container
}
