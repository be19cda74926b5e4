// @vitest-environment happy-dom
import { QueryClient } from '@tanstack/vue-query'
import { afterEach, expect, test, vi } from 'vitest'

import type { Live } from './api/live'
import { keys } from './api/queries'
import type { Me } from './api/types'
import { createConsoleRouter, nextPath } from './router'

afterEach(() => {
  vi.unstubAllGlobals()
})

/** The pages themselves are loaded, with all that they are made of. */
const LOADING_MS = 30_000

/** Where somebody arrives who asks for a page. */
async function arrival(path: string, me: Partial<Me>): Promise<string> {
  vi.stubGlobal('fetch', () => Promise.reject(new Error('no hub')))
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, networkMode: 'always' } } })
  queries.setQueryData(keys.me, { kind: 'user', id: '1', name: 'ada', role: 'viewer', permissions: [], credential: null, second_factor_due: false, ...me })
  const live = { start: vi.fn(), stop: vi.fn() } as unknown as Live
  const { router } = createConsoleRouter(queries, live)
  await router.push(path)
  return router.currentRoute.value.fullPath
}

test('whose second factor is due sets it up before anything else', async () => {
  expect(await arrival('/account', { second_factor_due: true })).toBe('/second-factor?next=/account')
  expect(await arrival('/', { second_factor_due: true })).toBe('/second-factor')
  expect(await arrival('/second-factor', { second_factor_due: false })).toBe('/account')
  expect(await arrival('/account', { second_factor_due: false })).toBe('/account')
}, LOADING_MS)

test('after signing in, only a path of this console is followed', () => {
  expect(nextPath('/environments/1?x=2')).toBe('/environments/1?x=2')
  for (const foreign of ['https://evil.example', '//evil.example', '/\\evil.example', 'javascript:alert(1)', undefined, ['/a'], '']) {
    expect(nextPath(foreign)).toBe('/')
  }
})
