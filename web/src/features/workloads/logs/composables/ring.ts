/** The lines that a page keeps: the last hundred thousand, in little room. Every line has a number that it keeps. */

export const LINES_KEPT = 100_000

/** A line, or in its place the mark that some are missing. */
export interface LogLine {
  source: number
  /** Milliseconds since 1970, good to a few microseconds; `null` for a mark. */
  time: number | null
  text: string
  isError: boolean
  /** Its end was left out. */
  isCut: boolean
  /** How many lines are missing here; 0 for a line. */
  skipped: number
}

export class LogRing {
  private readonly lines: (LogLine | undefined)[]
  private added = 0
  private count = 0

  constructor(private readonly room = LINES_KEPT) {
    this.lines = new Array<LogLine | undefined>(room)
  }

  /** The number of the oldest line that is kept. */
  get first(): number {
    return this.added - this.count
  }

  /** The number that the next line gets. */
  get end(): number {
    return this.added
  }

  get size(): number {
    return this.count
  }

  push(line: LogLine) {
    this.lines[this.added % this.room] = line
    this.added += 1
    this.count = Math.min(this.count + 1, this.room)
  }

  /** The line with this number, if it is kept. */
  at(number: number): LogLine | undefined {
    return number >= this.first && number < this.end ? this.lines[number % this.room] : undefined
  }

  /** Numbers go on, so that none stands for two lines. */
  clear() {
    this.lines.fill(undefined)
    this.count = 0
  }

  /** The first line of that moment or later; the end where there is none. Logs are in order but for what comes late. */
  firstSince(time: number): number {
    let low = this.first
    let high = this.end
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const found = this.timeNear(middle, high)
      if (found !== null && found < time) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The time of the line, or of the next one that has one. */
  private timeNear(number: number, end: number): number | null {
    for (let at = number; at < end; at++) {
      const time = this.at(at)?.time ?? null
      if (time !== null) return time
    }
    return null
  }
}
