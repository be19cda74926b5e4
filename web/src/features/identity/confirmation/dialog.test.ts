// @vitest-environment happy-dom
import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createApp, h, type App } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'

import { keys } from '@/api/queries'
import { i18n, setLanguage } from '@/locales/i18n'

import { askToConfirm, isAsked } from './asking'
import ConfirmSessionDialog from './ConfirmSessionDialog.vue'
import type { Confirmed } from './ways'

/** What was sent, beside the question how it stands. */
let sent: { path: string; body: unknown }[] = []
let app: App | null = null

beforeEach(async () => {
  sent = []
  await setLanguage('en')
})
afterEach(() => {
  app?.unmount()
  document.body.replaceChildren()
  vi.unstubAllGlobals()
})

/** Opens the dialog at a page, for somebody to whom these ways are open; `answers` is what the hub says to each proof. */
async function opened(standing: Partial<Confirmed>, ...answers: Response[]) {
  vi.stubGlobal('fetch', async (request: Request) => {
    const { pathname } = new URL(request.url)
    if (request.method === 'GET') return Response.json({ confirmed_until: null, needs_code: false, ways: [{ kind: 'password' }], ...standing })
    sent.push({ path: pathname, body: await request.json() })
    return answers.shift() ?? Response.json({ error: { code: 'internal', message: '' } }, { status: 500 })
  })
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, networkMode: 'always' }, mutations: { networkMode: 'always' } } })
  queries.setQueryData(keys.me, { kind: 'user', id: '1', name: 'ada', role: 'viewer', permissions: [], permissions_somewhere: [], credential: null, second_factor_due: false })
  const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/:rest(.*)*', component: { render: () => h('main') } }] })
  await router.push('/users?search=x')
  const outcome = askToConfirm()
  app = createApp(ConfirmSessionDialog).use(VueQueryPlugin, { queryClient: queries }).use(router).use(i18n)
  const place = document.body.appendChild(document.createElement('div'))
  app.mount(place)
  await vi.waitFor(() => {
    expect(document.querySelector('[role=dialog] button[type=submit]')).not.toBeNull()
  })
  return { outcome }
}

function type(label: string, text: string) {
  const named = [...document.querySelectorAll('label')].find((found) => found.textContent?.includes(label))
  const field = document.getElementById(named?.htmlFor ?? '') as HTMLInputElement
  field.value = text
  field.dispatchEvent(new Event('input'))
}

function submit() {
  document.querySelector('[role=dialog] form')?.dispatchEvent(new Event('submit', { cancelable: true }))
}

function refusal(code: string): Response {
  return Response.json({ error: { code, message: '' } }, { status: 403 })
}

test('a wrong password is said, and the right one with a code confirms', async () => {
  const { outcome } = await opened({ needs_code: true }, refusal('wrong_password'), Response.json({}))
  type('Password', 'guess')
  type('Code', '123456')
  submit()
  await vi.waitFor(() => {
    expect(document.querySelector('[role=alert]')?.textContent).toContain('The present password is wrong.')
  })
  expect(isAsked.value).toBe(true)
  type('Password', 'seventeen quiet herons')
  submit()
  expect(await outcome).toBe(true)
  expect(isAsked.value).toBe(false)
  expect(sent.map(({ body }) => body)).toEqual([
    { kind: 'password', password: 'guess', code: '123456' },
    { kind: 'password', password: 'seventeen quiet herons', code: '123456' },
  ])
})

test('who is in a directory types their name there', async () => {
  const { outcome } = await opened({ ways: [{ kind: 'directory', name: 'Office' }] }, Response.json({}))
  type('User name', 'lovelace')
  type('Password', 'p')
  submit()
  expect(await outcome).toBe(true)
  expect(sent[0]?.body).toEqual({ kind: 'directory', name: 'lovelace', password: 'p', code: null })
})

test('a provider is gone to, and leads back to the page', async () => {
  const assign = vi.spyOn(globalThis.location, 'assign').mockImplementation(() => undefined)
  await opened({ ways: [{ kind: 'provider', slug: 'corp', name: 'Corp' }] }, Response.json({ location: 'https://corp.example/authorize' }))
  expect(document.querySelector('[role=dialog]')?.textContent).toContain('What you typed here and did not save is lost')
  expect(document.querySelector('input[type=password]')).toBeNull()
  submit()
  await vi.waitFor(() => {
    expect(assign).toHaveBeenCalledWith('https://corp.example/authorize')
  })
  expect(sent).toEqual([{ path: '/api/v1/session/confirmation/provider', body: { provider: 'corp', next: '/users?search=x', code: null } }])
})

test('who gives up confirms nothing', async () => {
  const { outcome } = await opened({})
  const cancel = [...document.querySelectorAll('button')].find((button) => button.textContent?.includes('Cancel'))
  cancel?.click()
  expect(await outcome).toBe(false)
  expect(sent).toEqual([])
})
