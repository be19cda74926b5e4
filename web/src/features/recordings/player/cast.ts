/** Reads asciicast v2: a head, then one event in each line. Knows no screen. */

/** A pause is played no longer than this, where pauses are shortened. */
const PAUSE_MAX = 2

export interface Cast {
  columns: number
  rows: number
  events: CastEvent[]
  /** How long it lasted, in seconds. */
  seconds: number
}

export type CastEvent = { at: number } & ({ kind: 'output'; text: string } | { kind: 'resize'; columns: number; rows: number } | { kind: 'mark'; text: string })

/** What cannot be read is passed over: a recording that was broken off shows what there is of it.
 *  @throws {Error} where there is no head of this format. */
export function parseCast(text: string): Cast {
  const [first = '', ...lines] = text.split('\n')
  const head = parse(first) as Record<string, unknown> | null
  if (head === null || head.version !== 2) throw new Error('no asciicast v2')
  const events = lines.flatMap((line) => eventOf(parse(line)))
  const last = events.at(-1)?.at ?? 0
  return { columns: side(head.width, 80), rows: side(head.height, 24), events, seconds: Math.max(last, Number(head.duration) || 0) }
}

/** When each event is played, in seconds since the beginning, and how long all of it takes. */
export function timesOf({ events, seconds }: Cast, shortened: boolean): { times: number[]; total: number } {
  const pause = (length: number) => (shortened ? Math.min(length, PAUSE_MAX) : length)
  let [before, played] = [0, 0]
  const times = events.map(({ at }) => {
    played += pause(Math.max(0, at - before))
    before = Math.max(before, at)
    return played
  })
  return { times, total: played + pause(Math.max(0, seconds - before)) }
}

function eventOf(line: unknown): CastEvent[] {
  if (!Array.isArray(line)) return []
  const [at, kind, data] = line as unknown[]
  if (typeof at !== 'number' || typeof data !== 'string') return []
  if (kind === 'o') return [{ at, kind: 'output', text: data }]
  if (kind === 'm') return [{ at, kind: 'mark', text: data }]
  const size = kind === 'r' ? /^(\d{1,4})x(\d{1,4})$/.exec(data) : null
  return size ? [{ at, kind: 'resize', columns: side(size[1], 80), rows: side(size[2], 24) }] : []
}

/** A side that a screen may have. */
function side(value: unknown, otherwise: number): number {
  const number = Number(value)
  return Number.isInteger(number) && number >= 1 && number <= 1000 ? number : otherwise
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
