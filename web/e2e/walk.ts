/** The specs' own `test`: it fails on whatever the browser's console complains about, and knows how to look. */
import { join } from 'node:path'

import { AxeBuilder } from '@axe-core/playwright'
import { expect, test as plain, type Page } from '@playwright/test'

import { folder } from './surroundings'

/** Answers that a spec asked for are no complaint: the console shows them. */
const EXPECTED = /Failed to load resource: the server responded with a status of (4\d\d|50[234])|WebSocket connection to .* failed|net::ERR_/

export const test = plain.extend<{ complaints: string[] }>({
  complaints: [
    async ({ page }, use) => {
      const complaints: string[] = []
      page.on('pageerror', (error) => complaints.push(error.message))
      page.on('console', (message) => {
        const text = message.text()
        if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(text)) complaints.push(text)
      })
      await use(complaints)
      expect(complaints, 'what the browser complained about').toEqual([])
    },
    { auto: true },
  ],
})

export { expect }

/** Nothing that hinders people who use a keyboard, a screen reader, or need contrast. */
export async function expectAccessible(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze()
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join('\n  ')}`)
  expect(found.join('\n')).toBe('')
}

/** No page is wider than the screen. */
export async function expectToFit(page: Page) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  expect(overflow, 'pixels beyond the right edge').toBeLessThanOrEqual(0)
}

export async function picture(page: Page, name: string) {
  await page.screenshot({ path: join(folder, 'screenshots', `${name}.png`), fullPage: true, animations: 'disabled' })
}
