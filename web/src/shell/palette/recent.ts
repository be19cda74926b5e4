/** Where somebody went lately by the palette, kept in this browser for each user apart. */
import type { Choice, Kind } from './choices'

/** Remembered at once. */
const RECENT_MAX = 6
const KINDS: Kind[] = ['page', 'environment', 'container']

function keyOf(user: string): string {
  return `windflow.palette.${user}`
}

/** The newest first. What is stored may be of another version, or damaged. */
export function readRecent(user: string): Choice[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(keyOf(user)) ?? '[]')
    return Array.isArray(stored) ? stored.filter(isChoice).slice(0, RECENT_MAX) : []
  } catch {
    return []
  }
}

/** Puts a choice before the others. A browser that stores nothing forgets it. */
export function remember(user: string, choice: Choice) {
  const { kind, path, label, detail } = choice
  const others = readRecent(user).filter((other) => other.path !== path)
  try {
    localStorage.setItem(keyOf(user), JSON.stringify([{ kind, path, label, detail }, ...others].slice(0, RECENT_MAX)))
  } catch {
    return
  }
}

function isChoice(value: unknown): value is Choice {
  if (typeof value !== 'object' || value === null) return false
  const { kind, path, label } = value as Partial<Record<keyof Choice, unknown>>
  const leadsHere = typeof path === 'string' && /^\/(?![/\\])/.test(path)
  return KINDS.some((known) => known === kind) && leadsHere && typeof label === 'string'
}
