import { afterEach, expect, test, vi } from 'vitest'

import { dialHub } from './socket'

class SimulatedSocket {
  static readonly OPEN = 1
  readyState = 0
  sent: unknown[] = []

  constructor(readonly url: string) {}

  send(data: unknown) {
    if (this.readyState !== SimulatedSocket.OPEN) throw new Error('a browser complains of this')
    this.sent.push(data)
  }
}

afterEach(() => {
  vi.unstubAllGlobals()
})

test('what is said on a socket that closes goes nowhere, and nobody complains', () => {
  vi.stubGlobal('WebSocket', SimulatedSocket)
  vi.stubGlobal('location', { origin: 'https://hub.example:8443' })
  const socket = dialHub('/api/v1/live') as unknown as SimulatedSocket
  expect(socket.url).toBe('wss://hub.example:8443/api/v1/live')
  for (const [state, text] of ['connecting', 'open', 'closing', 'closed'].entries()) {
    socket.readyState = state
    socket.send(text)
  }
  expect(socket.sent).toEqual(['open'])
})
