/** What was changed in a draft, for people; and whether an engine changes it while the container runs. */
import { draftOf, FIELDS, type Draft, type FieldName, type Reading } from './draft/draft'

export interface Difference {
  name: string
  label: string
  removed: string[]
  added: string[]
}

type Spec = Reading['spec']
type Resource = keyof Spec['resources']

const LIVE: Resource[] = ['cpus', 'memory', 'memory_swap', 'pids']

/** `labelOf` gives a field's name in the user's language. */
export function differencesOf(before: Spec, typed: Draft, labelOf: (kind: 'field' | 'check', name: string) => string): Difference[] {
  const was = draftOf(before)
  const lines = (text: string) => text.split('\n').filter(Boolean)
  const texts = (Object.keys(FIELDS) as FieldName[])
    .filter((name) => typed.texts[name] !== was.texts[name])
    .map((name) => {
      const [old, now] = [lines(was.texts[name]), lines(typed.texts[name])]
      return { name, label: labelOf('field', name), removed: old.filter((line) => !now.includes(line)), added: now.filter((line) => !old.includes(line)) }
    })
  const choices = (Object.keys(typed.choices) as (keyof Draft['choices'])[])
    .filter((name) => typed.choices[name] !== was.choices[name])
    .map((name) => {
      const isWord = name === 'pull' || name === 'restart'
      return { name, label: labelOf(isWord ? 'field' : 'check', name), removed: [mark(was.choices[name])], added: [mark(typed.choices[name])] }
    })
  return [...texts, ...choices]
}

function mark(choice: string | boolean): string {
  if (typeof choice === 'string') return choice
  return choice ? '✓' : '✗'
}

/** What the engine is asked to change at once; null where the container must be made anew. */
export function liveChange(before: Spec, { spec, changed }: Reading) {
  if (changed.length === 0 || changed.some((key) => key !== 'resources' && key !== 'restart')) return null
  const keys = [...new Set([...Object.keys(before.resources), ...Object.keys(spec.resources)])] as Resource[]
  const others = keys.filter((key) => JSON.stringify(before.resources[key] ?? null) !== JSON.stringify(spec.resources[key] ?? null))
  // A bound that is taken away is one that an engine cannot take away while it runs.
  if (others.some((key) => !LIVE.includes(key) || spec.resources[key] == null)) return null
  const resources = Object.fromEntries(others.map((key) => [key, spec.resources[key]]))
  return { ...resources, ...(changed.includes('restart') ? { restart: spec.restart } : {}) }
}
