/** Several logs as one, as a page shows them: what came, what waits while the page stands still, and why no more comes. */
import { computed, onScopeDispose, ref, shallowReactive, shallowRef, watch, type Ref } from 'vue'

import { LogChannel, type LogSocket, type LogSource, type Selection, type SentLine, type Told, type Why } from './channel'
import { LogRing, type LogLine } from './ring'

/** Lines that may wait while the page stands still. Beyond them the host leaves out what comes, and counts it. */
export const WAITING_MAX = 20_000
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

/** Kept away from Vue: a line is looked at when it is drawn, and there are many. */
interface Kept {
  ring: LogRing
  waiting: LogLine[]
  /** The last nanosecond of each source, to go on after it. */
  last: Map<number, bigint>
}

function dial(): LogSocket {
  return new WebSocket(`${location.origin.replace(/^http/, 'ws')}/api/v1/logs`) as LogSocket
}

export function useLogs(wish: Ref<Wish>, connect: () => LogSocket = dial) {
  const kept: Kept = { ring: new LogRing(), waiting: [], last: new Map() }
  /** Grows whenever something changed in the ring. */
  const version = ref(0)
  const waiting = ref(0)
  const isFollowing = ref(true)
  const isCaughtUp = ref(false)
  const state = ref<'connecting' | 'open' | 'lost'>('connecting')
  const refusal = shallowRef<string | null>(null)
  const endings = shallowReactive(new Map<number, Ending>())
  let channel: LogChannel | null = null
  let attempts = 0
  let redial: ReturnType<typeof setTimeout> | undefined
  let drawing = 0

  function draw() {
    drawing ||= requestAnimationFrame(() => {
      drawing = 0
      version.value += 1
      waiting.value = kept.waiting.length
    })
  }

  function add(line: LogLine) {
    if (isFollowing.value || !isCaughtUp.value) kept.ring.push(line)
    else kept.waiting.push(line)
  }

  function hear(told: Told) {
    attempts = 0
    state.value = 'open'
    switch (told.kind) {
      case 'lines':
        for (const line of told.lines) {
          kept.last.set(line.s, BigInt(line.t))
          add(lineOf(line))
        }
        draw()
        break
      case 'skipped':
        add({ source: told.source, time: null, text: '', isError: false, isCut: false, skipped: told.lines })
        draw()
        break
      case 'ended':
        endings.set(told.source, { why: told.why, message: told.message })
        break
      case 'caught_up':
        isCaughtUp.value = true
        makeRoom()
        break
      case 'refused':
        refusal.value = told.message
        break
      case 'ping':
        break
    }
  }

  /** How much the hub may send. */
  function makeRoom() {
    const isFree = isFollowing.value || !isCaughtUp.value
    channel?.allow(isFree ? Number.POSITIVE_INFINITY : WAITING_MAX - kept.waiting.length)
  }

  function open(after: Map<number, bigint> | null) {
    channel?.close()
    channel = null
    clearTimeout(redial)
    endings.clear()
    refusal.value = null
    isCaughtUp.value = false
    if (wish.value.sources.length === 0) return
    state.value = 'connecting'
    const sources = wish.value.sources.map(({ environment, container }, place) => {
      const last = after?.get(place)
      return last === undefined ? { environment, container } : { environment, container, since: momentAfter(last) }
    })
    channel = new LogChannel(connect(), { sources, select: given(wish.value.select), follow: wish.value.select.until === null }, hear, lose)
  }

  function lose() {
    channel = null
    // What was refused, or is over, is not asked for again by itself.
    if (refusal.value !== null || endings.size === wish.value.sources.length) return
    state.value = 'lost'
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempts, 10))
    attempts += 1
    redial = setTimeout(goOn, ceiling * (0.25 + 0.75 * Math.random()))
  }

  /** Goes on where each log was left. */
  function goOn() {
    open(kept.last)
  }

  function begin() {
    kept.ring.clear()
    kept.waiting = []
    kept.last.clear()
    isFollowing.value = true
    draw()
    open(null)
  }

  function follow() {
    isFollowing.value = true
    for (const line of kept.waiting) kept.ring.push(line)
    kept.waiting = []
    makeRoom()
    draw()
  }

  function pause() {
    isFollowing.value = false
    makeRoom()
  }

  watch(() => JSON.stringify(wish.value), begin, { immediate: true })
  onScopeDispose(() => {
    channel?.close()
    clearTimeout(redial)
    cancelAnimationFrame(drawing)
  })

  const isOver = computed(() => wish.value.sources.length > 0 && endings.size === wish.value.sources.length)
  return { ring: kept.ring, version, waiting, isFollowing, isCaughtUp, isOver, state, refusal, endings, follow, pause, goOn }
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
