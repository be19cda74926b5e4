/** What stands below what on the dashboard: headings of groups, and lines of as many environments as there is room for. */

/** Some environments that stand together, in the order of the list. */
export interface Section {
  /** Of the group; null for those in none. */
  id: string | null
  /** Null where there is no heading. */
  heading: string | null
  count: number
}

export type Line =
  | { kind: 'heading'; section: Section; key: string }
  /** Environments from `start` to the one before `end`, by their places in the list. */
  | { kind: 'rows'; start: number; end: number }

/** The lines of these sections, each with so many environments. */
export function linesOf(sections: Section[], columns: number): Line[] {
  const lines: Line[] = []
  let start = 0
  for (const section of sections) {
    if (section.heading !== null) lines.push({ kind: 'heading', section, key: `group-${section.id ?? 'none'}` })
    const end = start + section.count
    for (; start < end; start += columns) lines.push({ kind: 'rows', start, end: Math.min(end, start + columns) })
    start = end
  }
  return lines
}

/** The places in the list that these lines show. */
export function rangeOf(lines: (Line | undefined)[]): { start: number; end: number } {
  const rows = lines.filter((line) => line?.kind === 'rows')
  return { start: rows[0]?.start ?? 0, end: rows.at(-1)?.end ?? 0 }
}
