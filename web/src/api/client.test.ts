// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import { deadlineOf } from './client'

test('what the hub knows by itself is there sooner than what an engine has to say or do', () => {
  const of = (method: string, path: string) => deadlineOf({ method, url: `https://hub.example${path}` })
  expect(of('GET', '/api/v1/environments?search=containers')).toBe(15_000)
  expect(of('GET', '/api/v1/environments/e')).toBe(15_000)
  expect(of('GET', '/api/v1/environments/e/containers?limit=50')).toBe(45_000)
  expect(of('GET', '/api/v1/audit/verify?expect=1:ab')).toBe(180_000)
  expect(of('POST', '/api/v1/environments/e/containers/c/stop')).toBe(45_000)
})
