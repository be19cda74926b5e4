import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { effectScope, ref } from 'vue'

import { LogChannel, type LogSocket, type Told } from './channel'
import { firstChoices, selectionOf } from './choices'
import { momentAfter, useLogs, WAITING_MAX } from './logs'

class FakeSocket implements LogSocket {
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onclose: (() => void) | null = null
  sent: { kind?: string; lines?: number; sources?: { since?: string }[] }[] = []
  isClosed = false

  send(text: string) {
    this.sent.push(JSON.parse(text) as never)
  }

  close() {
    this.isClosed = true
  }

  tell(told: unknown) {
    this.onmessage?.({ data: typeof told === 'string' ? told : JSON.stringify(told) })
  }

  tellLines(count: number, from = 0) {
    this.tell({ kind: 'lines', lines: Array.from({ length: count }, (_, line) => ({ s: 0, t: `${1_750_000_000_000_000_000n + BigInt(from + line)}`, x: `line ${from + line}` })) })
  }

  /** How many lines it may still be sent. */
  get credit(): number {
    return this.sent.filter(({ kind }) => kind === 'more').reduce((sum, { lines }) => sum + (lines ?? 0), 2_000)
  }
}

const wish = { sources: [{ environment: 'e', container: 'web' }], select: {}, follow: true }

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

describe('a channel', () => {
  test('says what it wants and keeps asking for more as lines come', () => {
    const socket = new FakeSocket()
    new LogChannel(socket, wish, () => undefined, () => undefined)
    socket.onopen?.()
    expect(socket.sent[0]).toEqual(wish)
    expect(socket.credit).toBe(4_000)
    socket.tellLines(500)
    expect(socket.credit).toBe(4_000)
    socket.tellLines(500)
    expect(socket.credit).toBe(5_000)
  })

  test('asks for no more than there is room for', () => {
    const socket = new FakeSocket()
    const channel = new LogChannel(socket, wish, () => undefined, () => undefined)
    socket.onopen?.()
    channel.allow(0)
    socket.tellLines(4_000)
    expect(socket.credit).toBe(4_000)
    channel.allow(Number.POSITIVE_INFINITY)
    expect(socket.credit).toBe(8_000)
  })

  test('passes over what makes no sense and is lost when the hub falls silent', () => {
    const [socket, told, lost] = [new FakeSocket(), vi.fn<(told: Told) => void>(), vi.fn()]
    new LogChannel(socket, wish, told, lost)
    socket.onopen?.()
    socket.tell('nonsense')
    socket.tell({ kind: 'unheard of' })
    expect(told).not.toHaveBeenCalled()
    vi.advanceTimersByTime(60_000)
    expect(lost).toHaveBeenCalledOnce()
    expect(socket.isClosed).toBe(true)
  })
})

describe('logs of a page', () => {
  function page() {
    const sockets: FakeSocket[] = []
    const wishes = ref({ sources: [{ environment: 'e', container: 'web' }], select: selectionOf(firstChoices(), 0) })
    const scope = effectScope()
    const logs = scope.run(() =>
      useLogs(wishes, () => {
        const socket = new FakeSocket()
        sockets.push(socket)
        return socket
      }),
    )
    if (!logs || !sockets[0]) throw new Error('no channel was opened')
    sockets[0].onopen?.()
    return { logs, sockets, socket: sockets[0], wishes, scope }
  }

  test('stand still without loss, say how many wait, and go on with all of them', () => {
    const { logs, socket } = page()
    socket.tellLines(10)
    socket.tell({ kind: 'caught_up' })
    logs.pause()
    socket.tellLines(300, 10)
    socket.tell({ kind: 'skipped', source: 0, lines: 7 })
    vi.advanceTimersByTime(100)
    expect([logs.ring.size, logs.waiting.value]).toEqual([10, 301])
    logs.follow()
    expect([logs.ring.size, logs.ring.at(310)?.skipped]).toEqual([311, 7])
  })

  test('keep a bounded number of lines while they stand still', () => {
    const { logs, socket } = page()
    socket.tell({ kind: 'caught_up' })
    logs.pause()
    let told = 0
    while (told < socket.credit) {
      socket.tellLines(500, told)
      told += 500
    }
    vi.advanceTimersByTime(100)
    expect(logs.waiting.value).toBeLessThanOrEqual(WAITING_MAX + 4_000)
  })

  test('go on behind the last line after the hub was away', () => {
    const { logs, sockets, socket } = page()
    socket.tellLines(2)
    socket.onclose?.()
    expect(logs.state.value).toBe('lost')
    vi.advanceTimersByTime(2_000)
    expect(sockets).toHaveLength(2)
    sockets[1]?.onopen?.()
    expect(sockets[1]?.sent[0]?.sources?.[0]?.since).toBe('2025-06-15T15:06:40.000000002Z')
    expect(logs.ring.size).toBe(2)
  })

  test('are not asked for again once all has been said, nor where the wish was refused', () => {
    for (const last of [{ kind: 'ended', source: 0, why: 'removed', message: 'The container was removed.' }, { kind: 'refused', code: 'invalid_filter', message: 'no' }]) {
      const { sockets, socket, scope } = page()
      socket.tell(last)
      socket.onclose?.()
      vi.advanceTimersByTime(120_000)
      expect(sockets).toHaveLength(1)
      scope.stop()
    }
  })

  test('begin anew with another wish', () => {
    const { logs, sockets, socket, wishes, scope } = page()
    socket.tellLines(2)
    wishes.value = { ...wishes.value, select: { ...wishes.value.select, text: 'x' } }
    return Promise.resolve().then(() => {
      expect(socket.isClosed).toBe(true)
      expect(sockets).toHaveLength(2)
      expect(logs.ring.size).toBe(0)
      scope.stop()
    })
  })

  test('a moment after a nanosecond carries over', () => {
    expect(momentAfter(1_750_000_000_999_999_999n)).toBe('2025-06-15T15:06:41.000000000Z')
  })
})
