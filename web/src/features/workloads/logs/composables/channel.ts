/** One WebSocket on which the hub gives several logs as one. Another wish is another channel. */

/** A container whose log is read. */
export interface LogSource {
  environment: string
  container: string
}

/** Which lines are wanted; what is `null` is not limited. */
export interface Selection {
  tail: number | null
  since: string | null
  until: string | null
  stream: 'stdout' | 'stderr' | null
  text: string | null
  regex: string | null
  ignore_case: boolean
}

export type Why = 'complete' | 'stopped' | 'removed' | 'not_found' | 'unreachable' | 'engine' | 'unreadable' | 'invalid_filter' | 'busy'

/** A line as the hub sends it: source, nanoseconds, standard error, cut, text. */
export interface SentLine {
  s: number
  t: string
  e?: boolean
  c?: boolean
  x: string
}

export type Told =
  | { kind: 'lines'; lines: SentLine[] }
  | { kind: 'skipped'; source: number; lines: number }
  | { kind: 'ended'; source: number; why: Why; message: string }
  | { kind: 'caught_up' }
  | { kind: 'refused'; code: string; message: string }
  | { kind: 'ping' }

/** The parts of a WebSocket that are used here. */
export interface LogSocket {
  onopen: (() => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: (() => void) | null
  send: (text: string) => void
  close: () => void
}

/** As many lines as the hub sends before it is asked for more. */
const CREDIT_FIRST = 2_000
/** Room that is kept asked for. */
const CREDIT_AHEAD = 4_000
/** It is asked for in pieces no smaller than this. */
const CREDIT_STEP = 1_000
/** The hub pings every 20 s: after this it cannot be heard. */
const SILENCE_MS = 50_000

const KINDS = ['lines', 'skipped', 'ended', 'caught_up', 'refused', 'ping']

export class LogChannel {
  private credit = CREDIT_FIRST
  private room = Number.POSITIVE_INFINITY
  private isOpen = false
  private silence: ReturnType<typeof setTimeout> | undefined

  /** `onLost`: the channel ended, and nobody here closed it. */
  constructor(
    private readonly socket: LogSocket,
    wish: { sources: LogSource[]; select: Partial<Selection>; follow: boolean },
    private readonly onTold: (told: Told) => void,
    private readonly onLost: () => void,
  ) {
    socket.onopen = () => {
      this.isOpen = true
      socket.send(JSON.stringify(wish))
      this.ask()
    }
    socket.onmessage = (message) => {
      this.receive(message.data)
    }
    socket.onclose = () => {
      this.lose()
    }
    this.hearBy()
  }

  /** How many lines there is room for; without a call there is room for all. */
  allow(lines: number) {
    this.room = lines
    this.ask()
  }

  close() {
    clearTimeout(this.silence)
    this.isOpen = false
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null
    this.socket.close()
  }

  private receive(data: unknown) {
    this.hearBy()
    const told = parse(data)
    if (!told) return
    if (told.kind === 'lines') {
      this.credit -= told.lines.length
      this.room -= told.lines.length
    }
    this.onTold(told)
    this.ask()
  }

  /** Asks for more, as far as there is room. */
  private ask() {
    const wanted = Math.min(CREDIT_AHEAD, this.room) - this.credit
    if (!this.isOpen || wanted < CREDIT_STEP) return
    this.credit += wanted
    this.socket.send(JSON.stringify({ kind: 'more', lines: wanted }))
  }

  private lose() {
    this.close()
    this.onLost()
  }

  private hearBy() {
    clearTimeout(this.silence)
    this.silence = setTimeout(() => {
      this.lose()
    }, SILENCE_MS)
  }
}

function parse(data: unknown): Told | null {
  if (typeof data !== 'string') return null
  try {
    const value: unknown = JSON.parse(data)
    const isTold = typeof value === 'object' && value !== null && 'kind' in value && KINDS.includes(value.kind as string)
    return isTold ? (value as Told) : null
  } catch {
    return null
  }
}
