import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { INPUT_MAX, TerminalChannel, type ChannelSocket } from './channel'

class Socket implements ChannelSocket {
  binaryType = ''
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  readonly said: Record<string, unknown>[] = []
  readonly typed: { from: number; text: string }[] = []
  isClosed = false

  send(data: string | Uint8Array<ArrayBuffer>) {
    if (typeof data === 'string') this.said.push(JSON.parse(data) as Record<string, unknown>)
    else this.typed.push({ from: Number(new DataView(data.buffer).getBigUint64(0)), text: new TextDecoder().decode(data.subarray(8)) })
  }

  close() {
    this.isClosed = true
  }

  tell(message: Record<string, unknown>) {
    this.onmessage?.({ data: JSON.stringify(message) })
  }

  print(from: number, text: string) {
    const bytes = new TextEncoder().encode(text)
    const data = new Uint8Array(8 + bytes.length)
    new DataView(data.buffer).setBigUint64(0, BigInt(from))
    data.set(bytes, 8)
    this.onmessage?.({ data: data.buffer })
  }

  open(taken = 0) {
    this.onopen?.()
    this.tell({ kind: 'taken', input: taken })
  }

  break(reason = '') {
    this.onclose?.({ code: 1006, reason })
  }
}

function terminal() {
  const sockets: Socket[] = []
  const screen = { text: '', missed: 0, exists: true as boolean | null }
  const channel = new TerminalChannel({
    dial: () => {
      const socket = new Socket()
      sockets.push(socket)
      return socket
    },
    show: (bytes, done) => {
      screen.text += new TextDecoder().decode(bytes)
      done()
    },
    miss: (bytes) => {
      screen.missed += bytes
    },
    exists: () => Promise.resolve(screen.exists),
    random: () => 0,
  })
  const last = () => {
    const socket = sockets.at(-1)
    if (!socket) throw new Error('nothing was dialled')
    return socket
  }
  const type = (text: string) => channel.type(new TextEncoder().encode(text))
  channel.start()
  return { channel, sockets, screen, last, type }
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

describe('a terminal', () => {
  test('shows what comes once and in order, also after its connection broke', async () => {
    const { channel, screen, last } = terminal()
    last().open()
    last().print(0, 'hello ')
    last().break()
    expect(channel.state.value).toBe('lost')
    await vi.advanceTimersByTimeAsync(1_000)
    last().open()
    expect(last().said[0]).toEqual({ kind: 'from', output: 6 })
    last().print(4, 'o world')
    last().print(4, 'o world')
    expect(screen.text).toBe('hello world')
    await vi.advanceTimersByTimeAsync(1_000)
    expect(last().said.at(-1)).toEqual({ kind: 'taken', output: 11 })
  })

  test('sends again what was not taken, and nothing twice', async () => {
    const { last, type } = terminal()
    type('ls')
    expect(last().typed).toEqual([])
    last().open(7)
    expect(last().typed).toEqual([{ from: 7, text: 'ls' }])
    type('\r')
    last().tell({ kind: 'taken', input: 8 })
    last().break()
    type('x')
    await vi.advanceTimersByTimeAsync(1_000)
    last().open(9)
    expect(last().typed).toEqual([{ from: 9, text: '\rx' }])
  })

  test('says its size whenever it is connected', async () => {
    const { channel, last } = terminal()
    channel.resize(80, 24)
    last().open()
    expect(last().said).toContainEqual({ kind: 'resize', columns: 80, rows: 24 })
    channel.resize(100, 30)
    expect(last().said.at(-1)).toEqual({ kind: 'resize', columns: 100, rows: 30 })
    last().break()
    await vi.advanceTimersByTimeAsync(1_000)
    last().open()
    expect(last().said).toContainEqual({ kind: 'resize', columns: 100, rows: 30 })
  })

  test('says how much of it is not kept any more', () => {
    const { screen, last } = terminal()
    last().open()
    last().tell({ kind: 'lost', output: 100, bytes: 100 })
    last().print(100, 'late')
    expect(screen).toMatchObject({ text: 'late', missed: 100 })
  })

  test('ends with its program, and does not come back', async () => {
    const { channel, sockets, last, type } = terminal()
    last().open()
    last().tell({ kind: 'ended', exit_code: 3, why: 'exited' })
    last().break('ended')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(channel.state.value).toBe('ended')
    expect(channel.ending.value).toEqual({ why: 'exited', exitCode: 3 })
    expect(sockets).toHaveLength(1)
    expect(type('x')).toBe(false)
  })

  test('is left to the window that opened it last, and taken back on demand', async () => {
    const { channel, sockets, last } = terminal()
    last().open()
    last().break('opened elsewhere')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(channel.state.value).toBe('elsewhere')
    expect(sockets).toHaveLength(1)
    channel.start()
    last().open()
    expect(channel.state.value).toBe('open')
  })

  test('is gone once the hub does not know it, and tried again while the hub cannot be asked', async () => {
    const { channel, sockets, screen, last } = terminal()
    screen.exists = null
    last().break()
    await vi.advanceTimersByTimeAsync(1_000)
    expect([channel.state.value, sockets.length > 1]).toEqual(['lost', true])
    screen.exists = false
    last().break()
    await vi.advanceTimersByTimeAsync(0)
    expect(channel.state.value).toBe('gone')
  })

  test('notices a connection that says nothing', async () => {
    const { channel, sockets, last } = terminal()
    last().open()
    await vi.advanceTimersByTimeAsync(30_500)
    expect(sockets[0]?.isClosed).toBe(true)
    expect(channel.state.value).toBe('lost')
  })

  test('takes no more than can wait, and sends a large paste in parts', () => {
    const { last, type } = terminal()
    last().open()
    expect(type('x'.repeat(INPUT_MAX))).toBe(true)
    expect(type('y')).toBe(false)
    expect(last().typed.map(({ text }) => text.length)).toEqual(Array.from({ length: 32 }, () => 32 * 1024))
  })
})
