/** The way to one terminal: bytes both ways, each with its number, so that a connection that breaks loses, doubles and
 *  turns round nothing. Knows no screen. */
import { readonly, ref, type Ref } from 'vue'

/** `elsewhere`: another window has it. `gone`: the hub does not know it any more. */
export type ChannelState = 'connecting' | 'open' | 'lost' | 'ended' | 'elsewhere' | 'signed_out' | 'gone'

export const REASONS = ['exited', 'container_stopped', 'lost', 'closed', 'left', 'idle', 'hub_stops', 'recording_failed', 'not_permitted'] as const
export type Reason = (typeof REASONS)[number]

export interface Ending {
  why: Reason
  exitCode: number | null
}

/** The parts of a WebSocket that are used here. */
export interface ChannelSocket {
  binaryType: string
  onopen: (() => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  send: (data: string | Uint8Array<ArrayBuffer>) => void
  close: () => void
}

export interface ChannelEnds {
  dial: () => ChannelSocket
  /** Shows bytes, and says when they are shown. */
  show: (bytes: Uint8Array, done: () => void) => void
  /** So many bytes cannot be shown any more. */
  miss: (bytes: number) => void
  /** Whether the hub still has the terminal; null where it could not be asked. */
  exists: () => Promise<boolean | null>
  random?: () => number
}

/** The hub pings every 20 s. */
const SILENCE_MS = 30_000
const BACKOFF_FIRST_MS = 400
const BACKOFF_MAX_MS = 8_000
/** Most bytes that wait for the hub to take them: a large paste. */
export const INPUT_MAX = 1024 * 1024
/** The hub takes no longer messages. */
const MESSAGE_MAX = 32 * 1024
const NUMBER = 8
/** The hub is told of this many shown bytes at once, or after a moment. */
const TELL_BYTES = 16 * 1024
const TELL_MS = 200

export class TerminalChannel {
  private readonly current: Ref<ChannelState> = ref('connecting')
  readonly state: Readonly<Ref<ChannelState>> = readonly(this.current)
  private readonly over: Ref<Ending | null> = ref(null)
  readonly ending: Readonly<Ref<Ending | null>> = readonly(this.over)

  private readonly isRecorded: Ref<'on' | 'full' | null> = ref(null)
  /** Whether what is printed is recorded; the hub says so before anything can be typed. */
  readonly recorded: Readonly<Ref<'on' | 'full' | null>> = readonly(this.isRecorded)

  private socket: ChannelSocket | null = null
  private attempts = 0
  /** Whether this connection was ever one. */
  private wasOpen = false
  private greeted = false
  private stopped = false
  private size: { columns: number; rows: number } | null = null
  private redial: ReturnType<typeof setTimeout> | undefined
  private silence: ReturnType<typeof setTimeout> | undefined
  private telling: ReturnType<typeof setTimeout> | undefined

  /** The numbers of the next byte to come, of the next to be shown, and of that which the hub believes to be it. */
  private received = 0
  private shown = 0
  private told = 0
  /** Input that the hub has not taken, and the number of its first byte; null until the hub has said it. */
  private pending: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  private base: number | null = null

  constructor(private readonly ends: ChannelEnds) {}

  /** Connects; also takes the terminal back from another window. */
  start() {
    this.stopped = false
    this.attempts = 0
    this.current.value = 'connecting'
    this.connect()
  }

  stop() {
    this.stopped = true
    clearTimeout(this.redial)
    clearTimeout(this.telling)
    this.drop()
  }

  /** Types bytes, now or as soon as there is a connection. False where there are more than can wait. */
  type(bytes: Uint8Array): boolean {
    const isOurs = ['connecting', 'open', 'lost'].includes(this.current.value)
    if (!isOurs || this.pending.length + bytes.length > INPUT_MAX) return false
    const from = this.pending.length
    this.pending = joined(this.pending, bytes)
    if (this.greeted) this.sendInput(from)
    return true
  }

  resize(columns: number, rows: number) {
    this.size = { columns, rows }
    if (this.greeted) this.say({ kind: 'resize', columns, rows })
  }

  private connect() {
    this.drop()
    this.wasOpen = this.greeted = false
    const socket = this.ends.dial()
    socket.binaryType = 'arraybuffer'
    this.socket = socket
    this.hearBy()
    socket.onopen = () => {
      this.wasOpen = true
      this.say({ kind: 'from', output: this.received })
      this.told = this.received
    }
    socket.onmessage = ({ data }) => {
      this.hearBy()
      if (data instanceof ArrayBuffer) this.receive(data)
      else if (typeof data === 'string') this.hear(parse(data))
    }
    socket.onclose = ({ reason }) => {
      if (this.socket === socket) void this.closed(reason)
    }
  }

  private receive(data: ArrayBuffer) {
    if (data.byteLength <= NUMBER) return
    const from = Number(new DataView(data).getBigUint64(0))
    const known = this.received - from
    if (known < 0 || known >= data.byteLength - NUMBER) return
    const bytes = new Uint8Array(data, NUMBER + known)
    this.received += bytes.length
    this.ends.show(bytes, () => {
      this.shown += bytes.length
      this.tellShown()
    })
  }

  private hear(message: Message | null) {
    if (message?.kind === 'recorded') this.isRecorded.value = message.state === 'full' ? 'full' : 'on'
    if (message?.kind === 'taken') this.noteTaken(message.input ?? 0)
    if (message?.kind === 'lost') {
      this.ends.miss(message.bytes ?? 0)
      const skipped = (message.output ?? 0) - this.received
      this.received += skipped
      this.shown += skipped
    }
    if (message?.kind === 'ended') {
      const why = REASONS.find((reason) => reason === message.why) ?? 'lost'
      this.over.value = { why, exitCode: message.exit_code ?? null }
      this.current.value = 'ended'
    }
  }

  private noteTaken(taken: number) {
    const length = this.pending.length
    // What was typed in another window in between has numbers, too.
    const gone = this.base === null ? 0 : Math.min(Math.max(0, taken - this.base), length)
    this.pending = this.pending.slice(gone)
    this.base = taken
    if (this.greeted) return
    this.greeted = true
    this.attempts = 0
    this.current.value = 'open'
    if (this.size) this.say({ kind: 'resize', ...this.size })
    this.sendInput(0)
  }

  /** Sends what waits from this place on. */
  private sendInput(from: number) {
    for (let at = from; at < this.pending.length; at += MESSAGE_MAX) {
      const part = this.pending.subarray(at, at + MESSAGE_MAX)
      const message = new Uint8Array(NUMBER + part.length)
      new DataView(message.buffer).setBigUint64(0, BigInt((this.base ?? 0) + at))
      message.set(part, NUMBER)
      this.socket?.send(message)
    }
  }

  private tellShown() {
    const tell = () => {
      clearTimeout(this.telling)
      this.telling = undefined
      if (!this.greeted || this.shown <= this.told) return
      this.told = this.shown
      this.say({ kind: 'taken', output: this.shown })
    }
    if (this.shown - this.told >= TELL_BYTES) tell()
    else this.telling ??= setTimeout(tell, TELL_MS)
  }

  private async closed(reason: string) {
    const opened = this.wasOpen
    this.drop()
    if (this.over.value !== null || this.stopped) return
    if (reason === 'opened elsewhere') this.current.value = 'elsewhere'
    else if (reason === 'signed out') this.current.value = 'signed_out'
    else {
      this.current.value = 'lost'
      // A browser does not say why it was refused.
      if (!opened && (await this.ends.exists()) === false) this.current.value = 'gone'
      else this.later()
    }
  }

  private later() {
    if (this.stopped) return
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.attempts, 10))
    this.attempts += 1
    clearTimeout(this.redial)
    this.redial = setTimeout(
      () => {
        this.connect()
      },
      ceiling * (0.25 + 0.75 * (this.ends.random ?? Math.random)()),
    )
  }

  private hearBy() {
    clearTimeout(this.silence)
    this.silence = setTimeout(() => {
      void this.closed('silence')
    }, SILENCE_MS)
  }

  private say(message: Record<string, unknown>) {
    this.socket?.send(JSON.stringify(message))
  }

  private drop() {
    clearTimeout(this.silence)
    const socket = this.socket
    this.socket = null
    this.greeted = false
    if (!socket) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
  }
}

interface Message {
  kind: string
  input?: number
  output?: number
  bytes?: number
  why?: string
  state?: string
  exit_code?: number | null
}

function parse(text: string): Message | null {
  try {
    const value: unknown = JSON.parse(text)
    const isMessage = typeof value === 'object' && value !== null && 'kind' in value && typeof value.kind === 'string'
    return isMessage ? (value as Message) : null
  } catch {
    return null
  }
}

function joined(one: Uint8Array, two: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(one.length + two.length)
  both.set(one)
  both.set(two, one.length)
  return both
}
