/** The live channel: one WebSocket that says what changed, so that lists are read again.
 *  It never carries the facts themselves, but for what is measured just now; losing it costs freshness, not truth. */
import { readonly, ref, type Ref } from 'vue'

export type LiveState = 'connecting' | 'live' | 'paused'

/** Lists that are watched while a page shows them; those of environments and of jobs always are. */
const TOPICS = ['containers', 'resources', 'events'] as const
export type Topic = (typeof TOPICS)[number]

/** What the hub says changed. */
export interface LiveEvent {
  kind: 'environment' | 'container' | 'containers' | 'resources' | 'agent' | 'job' | 'events' | 'groups' | 'reset'
  id: number
  environment_id?: string
  container_id?: string
  job_id?: string
}

/** Whose use is measured more often: the host's where no container is named. */
export interface Measured {
  environment: string
  container: string | null
}

/** What was measured just now. */
export interface Usage {
  /** Seconds since 1970, by the hub's clock. */
  at: number
  /** Whether the history has it too. */
  stored: boolean
  values: { name: string; disk?: string; value: number }[]
}

/** The parts of a WebSocket that are used here. */
export interface LiveSocket {
  onopen: (() => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: (() => void) | null
  send: (text: string) => void
  close: () => void
}

/** The hub pings every 20 s: where it says nothing for one and a half times as long, it cannot be heard. */
export const SILENCE_MS = 30_000
/** Changes are handed on together, at most this often. */
const GATHER_MS = 250
const BACKOFF_FIRST_MS = 1_000
const BACKOFF_MAX_MS = 30_000
/** More changes at once than this are one reset. */
const GATHERED_MAX = 200

export class Live {
  private readonly current: Ref<LiveState> = ref('connecting')
  readonly state: Readonly<Ref<LiveState>> = readonly(this.current)
  private readonly spoke = ref(0)
  /** When the hub last said something here; 0 if it never did. */
  readonly heardAt: Readonly<Ref<number>> = readonly(this.spoke)

  private socket: LiveSocket | null = null
  private environment: string | null = null
  /** How many pages look at each list. */
  private readonly watched: Record<Topic, number> = { containers: 0, resources: 0, events: 0 }
  private measured: { of: Measured; tell: (usage: Usage) => void } | null = null
  private last: number | null = null
  private attempts = 0
  private running = false
  private isOpen = false
  private silence: ReturnType<typeof setTimeout> | undefined
  private redial: ReturnType<typeof setTimeout> | undefined
  private gathering: ReturnType<typeof setTimeout> | undefined
  private gathered: LiveEvent[] = []

  constructor(
    private readonly dial: () => LiveSocket,
    private readonly onChanges: (changes: LiveEvent[]) => void,
    private readonly random: () => number = Math.random,
  ) {}

  start() {
    if (this.running) return
    this.running = true
    this.attempts = 0
    this.connect()
  }

  /** Ends it, for instance when the user signs out. */
  stop() {
    this.running = false
    this.last = null
    clearTimeout(this.redial)
    clearTimeout(this.gathering)
    this.gathering = undefined
    this.gathered = []
    this.drop()
    this.current.value = 'connecting'
  }

  /** Whose containers to hear about; the lists of environments and of jobs are always watched. */
  watch(environment: string | null) {
    this.environment = environment
    // Without a number: what happened there before is answered with a reset.
    this.wishAgain()
  }

  /** Hears what a host or a container uses, measured every two seconds, until what is returned is called. One page at a
   *  time does. */
  measure(of: Measured, tell: (usage: Usage) => void): () => void {
    const measured = { of, tell }
    this.measured = measured
    this.wishAgain()
    return () => {
      if (this.measured !== measured) return
      this.measured = null
      this.wishAgain()
    }
  }

  /** Hears about a list of all environments, until what is returned is called. */
  watchList(topic: Topic): () => void {
    this.count(topic, 1)
    return () => {
      this.count(topic, -1)
    }
  }

  private count(topic: Topic, more: 1 | -1) {
    const before = this.watched[topic] > 0
    this.watched[topic] += more
    if (before !== this.watched[topic] > 0) this.wishAgain()
  }

  private wishAgain() {
    if (this.isOpen) this.subscribe(null)
  }

  private connect() {
    this.drop()
    const socket = this.dial()
    this.socket = socket
    this.hearBy()
    socket.onopen = () => {
      this.isOpen = true
      this.subscribe(this.last)
    }
    socket.onmessage = (message) => {
      this.receive(message.data)
    }
    socket.onclose = () => {
      if (this.socket === socket) this.lose()
    }
  }

  private subscribe(after: number | null) {
    const watch: Record<string, unknown> = { watch: ['environments', 'jobs', ...TOPICS.filter((topic) => this.watched[topic] > 0)] }
    if (this.environment !== null) watch.environment = this.environment
    if (this.measured) watch.metrics = this.measured.of
    if (after !== null) watch.after = after
    this.socket?.send(JSON.stringify(watch))
  }

  private receive(data: unknown) {
    this.hearBy()
    this.spoke.value = Date.now()
    this.attempts = 0
    this.isOpen = true
    this.current.value = 'live'
    const event = parse(data)
    if (!event) return
    if (event.id !== undefined) this.last = event.id
    if (event.kind === 'metrics') this.hearUsage(event as MetricsMessage)
    else if (event.kind !== 'ping') this.gather(event as LiveEvent)
  }

  /** What was still under way when another page was opened is nothing to it. */
  private hearUsage(usage: MetricsMessage) {
    const of = this.measured?.of
    if (of?.environment === usage.environment_id && of.container === usage.container_id) this.measured?.tell(usage)
  }

  private gather(event: LiveEvent) {
    const overflows = this.gathered.length >= GATHERED_MAX
    this.gathered = overflows ? [{ kind: 'reset', id: event.id }] : [...this.gathered, event]
    this.gathering ??= setTimeout(() => {
      const changes = this.gathered
      this.gathered = []
      this.gathering = undefined
      this.onChanges(changes)
    }, GATHER_MS)
  }

  private lose() {
    this.drop()
    this.current.value = 'paused'
    if (!this.running) return
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.attempts, 10))
    this.attempts += 1
    this.redial = setTimeout(
      () => {
        this.connect()
      },
      ceiling * (0.25 + 0.75 * this.random()),
    )
  }

  private hearBy() {
    clearTimeout(this.silence)
    this.silence = setTimeout(() => {
      this.lose()
    }, SILENCE_MS)
  }

  private drop() {
    clearTimeout(this.silence)
    this.isOpen = false
    const socket = this.socket
    this.socket = null
    if (!socket) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
  }
}

interface Message {
  kind: string
  id?: number
}

interface MetricsMessage extends Message, Usage {
  environment_id: string
  container_id: string | null
}

function parse(data: unknown): Message | null {
  if (typeof data !== 'string') return null
  try {
    const value: unknown = JSON.parse(data)
    const isMessage = typeof value === 'object' && value !== null && 'kind' in value && typeof value.kind === 'string'
    return isMessage ? (value as Message) : null
  } catch {
    return null
  }
}
