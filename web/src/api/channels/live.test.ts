import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { Live, SILENCE_MS, type LiveEvent, type LiveSocket } from './live'

class SimulatedSocket implements LiveSocket {
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onclose: (() => void) | null = null
  sent: unknown[] = []
  closed = false

  send(text: string) {
    this.sent.push(JSON.parse(text))
  }

  close() {
    this.closed = true
  }

  say(message: object) {
    this.onmessage?.({ data: JSON.stringify(message) })
  }
}

function start() {
  const sockets: SimulatedSocket[] = []
  const batches: LiveEvent[][] = []
  const dial = () => {
    const socket = new SimulatedSocket()
    sockets.push(socket)
    return socket
  }
  const live = new Live(dial, (changes) => batches.push(changes), () => 1)
  live.start()
  const newest = () => sockets.at(-1) as SimulatedSocket
  return { live, sockets, batches, newest }
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

describe('the live channel', () => {
  test('is live with the first message and not before', () => {
    const { live, newest } = start()
    newest().onopen?.()
    expect(live.state.value).toBe('connecting')
    newest().say({ kind: 'reset', id: 1 })
    expect(live.state.value).toBe('live')
  })

  test('hands changes on together', () => {
    const { batches, newest } = start()
    newest().say({ kind: 'container', id: 2, environment_id: 'e' })
    newest().say({ kind: 'environment', id: 3, environment_id: 'e' })
    expect(batches).toEqual([])
    vi.advanceTimersByTime(250)
    expect(batches.map((batch) => batch.map((change) => change.id))).toEqual([[2, 3]])
  })

  test('turns a flood into one reset', () => {
    const { batches, newest } = start()
    for (let id = 1; id <= 1_000; id++) newest().say({ kind: 'container', id, environment_id: 'e' })
    vi.advanceTimersByTime(250)
    expect(batches[0]?.length).toBeLessThanOrEqual(200)
    expect(batches[0]?.[0]?.kind).toBe('reset')
  })

  test('tells the hub where it left off when it connects again', () => {
    const { live, newest } = start()
    live.watch('env-1')
    newest().onopen?.()
    newest().say({ kind: 'reset', id: 41 })
    newest().onclose?.()
    vi.advanceTimersByTime(1_000)
    newest().onopen?.()
    expect(newest().sent).toEqual([{ watch: ['environments', 'jobs'], environment: 'env-1', after: 41 }])
  })

  test('says that it is paused and waits longer each time, up to a limit', () => {
    const { live, sockets, newest } = start()
    for (const wait of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      const before = sockets.length
      newest().onclose?.()
      expect(live.state.value).toBe('paused')
      vi.advanceTimersByTime(wait - 1)
      expect(sockets.length).toBe(before)
      vi.advanceTimersByTime(1)
      expect(sockets.length).toBe(before + 1)
    }
  })

  test('gives a silent connection up', () => {
    const { live, newest } = start()
    newest().say({ kind: 'ping' })
    const socket = newest()
    vi.advanceTimersByTime(SILENCE_MS - 1)
    expect(live.state.value).toBe('live')
    vi.advanceTimersByTime(1)
    expect(live.state.value).toBe('paused')
    expect(socket.closed).toBe(true)
  })

  test('knows when it last heard the hub', () => {
    const { live, newest } = start()
    newest().onopen?.()
    expect(live.heardAt.value).toBe(0)
    newest().say({ kind: 'ping' })
    const then = Date.now()
    vi.advanceTimersByTime(60_000)
    expect(live.heardAt.value).toBe(then)
  })

  test('stays closed once it is stopped', () => {
    const { live, sockets, newest } = start()
    newest().onclose?.()
    live.stop()
    vi.advanceTimersByTime(120_000)
    expect(sockets.length).toBe(1)
  })

  test('passes over what it cannot read', () => {
    const { batches, newest } = start()
    for (const data of ['not json', '[]', '{"id":1}', 'null', new Uint8Array([1])]) newest().onmessage?.({ data })
    vi.advanceTimersByTime(1_000)
    expect(batches).toEqual([])
  })

  test('asks for another environment without a new connection, and for all that is true there', () => {
    const { live, sockets, newest } = start()
    newest().say({ kind: 'reset', id: 7 })
    live.watch('env-2')
    live.watch(null)
    expect(sockets.length).toBe(1)
    expect(newest().sent).toEqual([
      { watch: ['environments', 'jobs'], environment: 'env-2' },
      { watch: ['environments', 'jobs'] },
    ])
  })

  test('hears about a list of all hosts while anybody looks at it', () => {
    const { live, newest } = start()
    const first = live.watchList('containers')
    newest().onopen?.()
    newest().say({ kind: 'reset', id: 7 })
    const second = live.watchList('containers')
    first()
    second()
    expect(newest().sent).toEqual([{ watch: ['environments', 'jobs', 'containers'] }, { watch: ['environments', 'jobs'] }])
  })

  test('hears of what happens on all engines for as long as a page asks for it', () => {
    const { live, newest } = start()
    newest().say({ kind: 'reset', id: 7 })
    live.watchList('events')()
    expect(newest().sent).toEqual([{ watch: ['environments', 'jobs', 'events'] }, { watch: ['environments', 'jobs'] }])
  })

  test('hears what is used by whom a page shows, and by nobody else', () => {
    const { live, batches, newest } = start()
    newest().onopen?.()
    const heard: number[] = []
    const host = { environment: 'e', container: null }
    const first = live.measure(host, ({ at }) => heard.push(at))
    const second = live.measure({ environment: 'e', container: 'c' }, ({ at }) => heard.push(at))
    first()
    const told = { kind: 'metrics', id: 1, environment_id: 'e', stored: false, values: [] }
    newest().say({ ...told, container_id: null, at: 1 })
    newest().say({ ...told, container_id: 'c', at: 2 })
    second()
    newest().say({ ...told, container_id: 'c', at: 3 })
    vi.advanceTimersByTime(1_000)
    expect(heard).toEqual([2])
    expect(batches).toEqual([])
    const watch = ['environments', 'jobs']
    expect(newest().sent).toEqual([{ watch }, { watch, metrics: host }, { watch, metrics: { environment: 'e', container: 'c' } }, { watch }])
  })

  test('wishes again for what is measured when it connects again', () => {
    const { live, newest } = start()
    live.measure({ environment: 'e', container: null }, () => undefined)
    newest().onopen?.()
    newest().onclose?.()
    vi.advanceTimersByTime(1_000)
    newest().onopen?.()
    expect(newest().sent).toEqual([{ watch: ['environments', 'jobs'], metrics: { environment: 'e', container: null } }])
  })
})
