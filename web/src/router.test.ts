// @vitest-environment happy-dom
import { QueryClient } from '@tanstack/vue-query'
import { afterEach, expect, test, vi } from 'vitest'

import type { Live } from './api/channels/live'
import { keys } from './api/queries'
import type { Me } from './api/types'
import { createConsoleRouter, nextPath } from './router'

afterEach(() => {
  vi.unstubAllGlobals()
})

/** The pages themselves are loaded, with all that they are made of. */
const LOADING_MS = 30_000

/** The console of somebody who asks for a page. */
async function opened(path: string, me: Partial<Me>) {
  vi.stubGlobal('fetch', () => Promise.reject(new Error('no hub')))
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, networkMode: 'always' } } })
  queries.setQueryData(keys.me, { kind: 'user', id: '1', name: 'ada', role: 'viewer', permissions: [], credential: null, second_factor_due: false, ...me })
  const live = { start: vi.fn(), stop: vi.fn() } as unknown as Live
  const console = createConsoleRouter(queries, live)
  await console.router.push(path)
  return console
}

/** Where they arrive. */
async function arrival(path: string, me: Partial<Me>): Promise<string> {
  const { router } = await opened(path, me)
  return router.currentRoute.value.fullPath
}

test('whose second factor is due sets it up before anything else', async () => {
  expect(await arrival('/account', { second_factor_due: true })).toBe('/second-factor?next=/account')
  expect(await arrival('/', { second_factor_due: true })).toBe('/second-factor')
  expect(await arrival('/second-factor', { second_factor_due: false })).toBe('/account')
  expect(await arrival('/account', { second_factor_due: false })).toBe('/account')
}, LOADING_MS)

test('whose session ends comes back to where they were, and whoever signs out does not', async () => {
  const ended = await opened('/account', {})
  await ended.leave()
  expect(ended.router.currentRoute.value.fullPath).toBe('/sign-in?next=/account&ended=1')

  const { router, leave } = await opened('/account', {})
  let refuse: (reason: Error) => void = () => undefined
  const refused = new Promise<never>((_, reject) => (refuse = reject))
  const ask = vi.fn(() => refused)
  vi.stubGlobal('fetch', ask)
  // What the page asked for is refused while its user is on the way out.
  const out = router.push({ name: 'sign-in' })
  await vi.waitFor(() => {
    expect(ask).toHaveBeenCalled()
  })
  const left = leave()
  refuse(new Error('no hub'))
  await Promise.all([out, left])
  expect(router.currentRoute.value.fullPath).toBe('/sign-in')
}, LOADING_MS)

test('after signing in, only a path of this console is followed', () => {
  expect(nextPath('/environments/1?x=2')).toBe('/environments/1?x=2')
  for (const foreign of ['https://evil.example', '//evil.example', '/\\evil.example', 'javascript:alert(1)', undefined, ['/a'], '']) {
    expect(nextPath(foreign)).toBe('/')
  }
})
