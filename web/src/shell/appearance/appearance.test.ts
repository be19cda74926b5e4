// @vitest-environment happy-dom
import { expect, test, vi } from 'vitest'
import { createApp, nextTick } from 'vue'

import { i18n, setLanguage } from '@/locales/i18n'

import AppearanceMenu from './AppearanceMenu.vue'

test('the menu is loaded and opened with the first press, and gives the focus back', async () => {
  await setLanguage('en')
  const place = document.body.appendChild(document.createElement('div'))
  const app = createApp(AppearanceMenu).use(i18n)
  app.mount(place)
  const button = place.querySelector('button')
  const menu = () => document.querySelector('[role=menu]')
  expect([button?.getAttribute('aria-expanded'), menu()]).toEqual(['false', null])

  button?.focus()
  button?.click()
  await vi.waitFor(() => {
    expect([...(menu()?.querySelectorAll('[role=menuitem]') ?? [])].map((entry) => entry.textContent)).toEqual(['As the system', 'Light', 'Dark', 'English', 'Français'])
  }, { timeout: 10_000 })
  expect(button?.getAttribute('aria-controls')).toBe(menu()?.id)
  expect(menu()?.contains(document.activeElement)).toBe(true)

  menu()?.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true }))
  await nextTick()
  await vi.waitFor(() => {
    expect([menu(), document.activeElement]).toEqual([null, button])
  }, { timeout: 10_000 })
  app.unmount()
}, 30_000)
