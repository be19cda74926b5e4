/** Several logs as one, as a page shows them: what came, what waits while the page stands still, and why no more comes. */
import { computed, onScopeDispose, ref, shallowReactive, shallowRef, watch, type Ref } from 'vue'

import { dialHub } from '@/api/channels/socket'

import { LogChannel, type LogSocket, type LogSource, type Selection, type SentLine, type Told, type Why } from './channel'
import { LogRing, type LogLine } from './ring'

/** Lines that may wait while the page stands still. Beyond them the host leaves out what comes, and counts it. */
export const WAITING_MAX = 20_000
/** What came within this is drawn at once: to draw a hundred thousand lines anew takes some milliseconds. */
const DRAW_MS = 80
const BACKOFF_FIRST_MS = 1_000
const BACKOFF_MAX_MS = 30_000

export interface Wish {
  sources: LogSource[]
  select: Selection
}

export interface Ending {
  why: Why
  /** The hub's own words. */
  message: string
}

function dial(): LogSocket {
  return dialHub('/api/v1/logs') as LogSocket
}

/** Reads what is wished for while the page is open, and begins anew when that changes. */
export function useLogs(wish: Ref<Wish>, connect: () => LogSocket = dial): Reading {
  const reading = new Reading(wish, connect)
  watch(
    () => JSON.stringify(wish.value),
    () => {
      reading.begin()
    },
    { immediate: true },
  )
  onScopeDispose(() => {
    reading.end()
  })
  return reading
}

/** What came of one wish. The lines are kept away from Vue: they are looked at when they are drawn, and there are many. */
export class Reading {
  readonly ring = new LogRing()
  /** Grows whenever something changed in the ring. */
  readonly version = ref(0)
  /** How many lines wait while the page stands still. */
  readonly waiting = ref(0)
  readonly isFollowing = ref(true)
  readonly isCaughtUp = ref(false)
  readonly state = ref<'connecting' | 'open' | 'lost'>('connecting')
  /** Why the hub refused the wish, in its own words. */
  readonly refusal = shallowRef<string | null>(null)
  readonly endings = shallowReactive(new Map<number, Ending>())
  readonly isOver = computed(() => this.endings.size > 0 && this.endings.size === this.wish.value.sources.length)

  private held: LogLine[] = []
  /** The last nanosecond of each source, to go on after it. */
  private readonly last = new Map<number, bigint>()
  private channel: LogChannel | null = null
  private attempts = 0
  private redial: ReturnType<typeof setTimeout> | undefined
  private drawing: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly wish: Readonly<Ref<Wish>>,
    private readonly connect: () => LogSocket,
  ) {}

  begin() {
    this.ring.clear()
    this.held = []
    this.last.clear()
    this.isFollowing.value = true
    this.draw()
    this.open()
  }

  /** Goes on where each log was left. */
  goOn() {
    this.open()
  }

  follow() {
    this.isFollowing.value = true
    for (const line of this.held) this.ring.push(line)
    this.held = []
    this.makeRoom()
    this.draw()
  }

  pause() {
    this.isFollowing.value = false
    this.makeRoom()
  }

  end() {
    this.channel?.close()
    clearTimeout(this.redial)
    clearTimeout(this.drawing)
  }

  private open() {
    const { sources, select } = this.wish.value
    this.channel?.close()
    this.channel = null
    clearTimeout(this.redial)
    this.endings.clear()
    this.refusal.value = null
    this.isCaughtUp.value = false
    if (sources.length === 0) return
    this.state.value = 'connecting'
    const places = sources.map(({ environment, container }, place) => {
      const last = this.last.get(place)
      return last === undefined ? { environment, container } : { environment, container, since: momentAfter(last) }
    })
    const asked = { sources: places, select: given(select), follow: select.until === null }
    this.channel = new LogChannel(
      this.connect(),
      asked,
      (told) => {
        this.hear(told)
      },
      () => {
        this.lose()
      },
    )
    this.makeRoom()
  }

  private hear(told: Told) {
    this.attempts = 0
    this.state.value = 'open'
    switch (told.kind) {
      case 'lines':
        for (const line of told.lines) {
          this.last.set(line.s, BigInt(line.t))
          this.add(lineOf(line))
        }
        break
      case 'skipped':
        this.add({ source: told.source, time: null, text: '', isError: false, isCut: false, skipped: told.lines })
        break
      case 'ended':
        this.endings.set(told.source, { why: told.why, message: told.message })
        break
      case 'caught_up':
        this.isCaughtUp.value = true
        this.makeRoom()
        break
      case 'refused':
        this.refusal.value = told.message
        break
      case 'ping':
        break
    }
  }

  private add(line: LogLine) {
    if (this.isFollowing.value) this.ring.push(line)
    else this.held.push(line)
    this.draw()
  }

  /** Says how much the hub may send. */
  private makeRoom() {
    this.channel?.allow(this.isFollowing.value ? Number.POSITIVE_INFINITY : WAITING_MAX - this.held.length)
  }

  private lose() {
    this.channel = null
    // What was refused, or is over, is not asked for again by itself.
    if (this.refusal.value !== null || this.isOver.value) return
    this.state.value = 'lost'
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.attempts, 10))
    this.attempts += 1
    this.redial = setTimeout(
      () => {
        this.open()
      },
      ceiling * (0.25 + 0.75 * Math.random()),
    )
  }

  private draw() {
    this.drawing ??= setTimeout(() => {
      this.drawing = undefined
      this.version.value += 1
      this.waiting.value = this.held.length
    }, DRAW_MS)
  }
}

function lineOf({ s, t, e, c, x }: SentLine): LogLine {
  return { source: s, time: Number(t) / 1e6, text: x, isError: e === true, isCut: c === true, skipped: 0 }
}

/** What is not limited is not said. */
function given(select: Selection): Partial<Selection> {
  return Object.fromEntries(Object.entries(select).filter(([, value]) => value !== null && value !== false))
}

/** The nanosecond after this one, as the API writes it. */
export function momentAfter(nanos: bigint): string {
  const next = nanos + 1n
  const second = new Date(Number(next / 1_000_000_000n) * 1_000).toISOString().slice(0, 19)
  return `${second}.${(next % 1_000_000_000n).toString().padStart(9, '0')}Z`
}
