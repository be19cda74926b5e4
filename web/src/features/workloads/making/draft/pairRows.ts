/** Pairs as rows of a form, and as the text that they stand for. */
import { pairsText, readPairs } from './texts'

export interface PairRow {
  /** Stays the same while it is typed in. */
  key: number
  name: string
  value: string
}

let last = 0

export function newRow(name = '', value = ''): PairRow {
  last += 1
  return { key: last, name, value }
}

/** The rows of a text; `null` where a line of it is no pair. */
export function rowsOf(text: string): PairRow[] | null {
  try {
    return Object.entries(readPairs(text)).map(([name, value]) => newRow(name, value))
  } catch {
    return null
  }
}

/** The text of rows. One without a name stays wrong until it has one; an empty one is nothing. */
export function textOf(rows: PairRow[]): string {
  return rows
    .filter(({ name, value }) => name !== '' || value !== '')
    .map(({ name, value }) => pairsText({ [name]: value }))
    .join('\n')
}

/** The rows after a name was typed or pasted into one: whole lines become rows of their own. */
export function named(rows: PairRow[], key: number, typed: string): PairRow[] {
  return rows.flatMap((row) => {
    if (row.key !== key) return [row]
    const pairs = /[=\n]/.test(typed) ? rowsOf(typed) : null
    if (!pairs) return [{ ...row, name: typed.trim() }]
    const [first, ...rest] = pairs
    return first ? [{ ...row, name: first.name, value: first.value || row.value }, ...rest] : [row]
  })
}
