/** Finding a text among the lines that are kept. */
import { plainText, stretches, type Stretch } from './ansi'
import type { LogRing } from './ring'

/** A stretch of a line, and whether it is what was searched for. */
export interface Part extends Stretch {
  isFound: boolean
}

/** The numbers of the lines with a text, kept up to date as lines come and go. */
export class Search {
  private numbers: number[] = []
  private seen = 0

  constructor(
    private readonly ring: LogRing,
    readonly text: string,
  ) {
    this.seen = ring.first
  }

  /** Looks at the lines that came since, and forgets those that left. */
  update(): readonly number[] {
    const needle = this.text.toLowerCase()
    if (needle === '') return []
    const gone = this.numbers.findIndex((number) => number >= this.ring.first)
    if (gone !== 0) this.numbers = gone === -1 ? [] : this.numbers.slice(gone)
    for (let number = Math.max(this.seen, this.ring.first); number < this.ring.end; number++) {
      const line = this.ring.at(number)
      if (line && line.skipped === 0 && plainText(line.text).toLowerCase().includes(needle)) this.numbers.push(number)
    }
    this.seen = this.ring.end
    return this.numbers
  }
}

/** The place among `numbers` of the next line after `number`, or before it; around the end. */
export function nextPlace(numbers: readonly number[], number: number, step: 1 | -1): number {
  if (numbers.length === 0) return -1
  const after = numbers.findIndex((found) => found > number)
  const next = after === -1 ? numbers.length : after
  if (step === 1) return next % numbers.length
  const isAt = numbers[next - 1] === number
  return (next - (isAt ? 2 : 1) + numbers.length) % numbers.length
}

/** A line's text in parts, those that are searched for marked, also where a colour changes within one. */
export function partsOf(text: string, searched: string): Part[] {
  const looks = stretches(text)
  if (searched === '') return looks.map((stretch) => ({ ...stretch, isFound: false }))
  const found = placesOf(looks.map((stretch) => stretch.text).join(''), searched)
  const parts: Part[] = []
  let start = 0
  for (const { text: own, classes } of looks) {
    const end = start + own.length
    const edges = new Set([start, end])
    for (const [from, to] of found) {
      for (const edge of [from, to]) if (edge > start && edge < end) edges.add(edge)
    }
    const sorted = [...edges].sort((one, other) => one - other)
    for (let at = 0; at + 1 < sorted.length; at++) {
      const from = sorted[at] ?? start
      const isFound = found.some(([begin, close]) => from >= begin && from < close)
      parts.push({ text: own.slice(from - start, (sorted[at + 1] ?? end) - start), classes, isFound })
    }
    start = end
  }
  return parts
}

function placesOf(text: string, searched: string): [number, number][] {
  const [hay, needle] = [text.toLowerCase(), searched.toLowerCase()]
  const places: [number, number][] = []
  // Some letters change their length with their case; then places would lie.
  if (hay.length !== text.length) return places
  for (let at = hay.indexOf(needle); at !== -1; at = hay.indexOf(needle, at + needle.length)) {
    places.push([at, at + needle.length])
  }
  return places
}
