// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import type { Container } from '@/api/types'

import { portTexts } from './containers'

const container = { id: 'c', name: 'c', image: 'i', state: 'running', status: 'Up', created_at: '', ports: [] } as unknown as Container

test('a port published on IPv4 and IPv6 is one port', () => {
  const ports = ['0.0.0.0', '::'].map((address) => ({ address, private: 80, public: 8080, protocol: 'tcp' }))
  expect(portTexts({ ...container, ports })).toEqual(['8080 → 80/tcp'])
})

test('a port that is bound to one address says so, and an unpublished one is bare', () => {
  const ports = [
    { address: '127.0.0.1', private: 5432, public: 5432, protocol: 'tcp' },
    { private: 53, protocol: 'udp' },
  ]
  expect(portTexts({ ...container, ports })).toEqual(['127.0.0.1:5432 → 5432/tcp', '53/udp'])
})
