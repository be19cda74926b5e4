/** Moments and durations for people, in their language. */
import { onScopeDispose, readonly, ref, type Ref } from 'vue'

import { once } from './once'

const TICK_MS = 5_000

const now = ref(Date.now())
let users = 0
let ticking: ReturnType<typeof setInterval> | undefined

/** The present moment, good to a few seconds, for texts such as "3 minutes ago". */
export function useNow(): Readonly<Ref<number>> {
  users += 1
  now.value = Date.now()
  ticking ??= setInterval(() => {
    now.value = Date.now()
  }, TICK_MS)
  onScopeDispose(() => {
    users -= 1
    if (users > 0) return
    clearInterval(ticking)
    ticking = undefined
  })
  return readonly(now)
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
]

const relativeFormat = once((language) => new Intl.RelativeTimeFormat(language, { numeric: 'auto' }))
const clockFormat = once((language) => new Intl.DateTimeFormat(language, { timeStyle: 'medium' }))
const momentFormat = once((language) => new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }))
const tenthsFormat = once((language) => new Intl.NumberFormat(language, { maximumFractionDigits: 1 }))
const wholeFormat = once((language) => new Intl.NumberFormat(language, { maximumFractionDigits: 0 }))

/** "3 minutes ago", "in 2 hours"; less than a few seconds is "now", but for what is known to be over. */
export function relative(moment: string | number, present: number, language: string, tense: 'any' | 'past' = 'any'): string {
  const distance = Math.round((new Date(moment).getTime() - present) / 1_000)
  // The hub's clock may be ahead of the browser's.
  const seconds = tense === 'past' ? Math.min(distance, -1) : distance
  const format = relativeFormat(language)
  const size = Math.abs(seconds)
  if (size < 10 && tense === 'any') return format.format(0, 'second')
  const [unit, length] = UNITS.find(([, length]) => size >= length) ?? ['second', 1]
  return format.format(Math.trunc(seconds / length), unit)
}

/** The clock time of a moment of today. */
export function clock(moment: string | number, language: string): string {
  return clockFormat(language).format(new Date(moment))
}

/** A moment in full. */
export function dateTime(moment: string | number, language: string): string {
  return momentFormat(language).format(new Date(moment))
}

/** A round trip: tenths below ten milliseconds, whole ones above. What took time is never shown as nothing. */
export function milliseconds(value: number, language: string): string {
  if (value > 0 && value < 0.1) return `< ${tenthsFormat(language).format(0.1)} ms`
  const format = value < 10 ? tenthsFormat(language) : wholeFormat(language)
  return `${format.format(value)} ms`
}
