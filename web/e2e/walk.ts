/**
 * The specs' own `test`: it fails on whatever the browser's console complains about, knows how to look, and writes down
 * what is said to the hub and by it, for the scenario to find secrets in it.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'

import { AxeBuilder } from '@axe-core/playwright'
import { expect, test as plain, type BrowserContext, type Page, type Response } from '@playwright/test'

import { administrator, folder, signedIn, url } from './surroundings'

/** Answers that a spec asked for are no complaint: the console shows them. */
const EXPECTED = /Failed to load resource: the server responded with a status of (4\d\d|50[234])|WebSocket connection to .* failed|net::ERR_/

/** What is still being written down. */
const writing = new Set<Promise<void>>()

function note(what: object) {
  appendFileSync(join(folder, 'heard.jsonl'), `${JSON.stringify(what)}\n`)
}

async function noteAnswer(response: Response) {
  const [request, { pathname, search }] = [response.request(), new URL(response.url())]
  const [method, status] = [request.method(), response.status()]
  if (!response.url().startsWith(`${url}/api/`) || (method === 'GET' && status < 400)) return
  // Of a page that is gone meanwhile nothing can be asked any more.
  const answer = await response.text().catch(() => '')
  const cookie = await response.headerValue('set-cookie').catch(() => null)
  note({ method, path: pathname + search, body: request.postData() ?? '', status, answer, cookie: cookie ?? '' })
}

/** Writes down what goes between all pages of a context and the hub. */
function hear(context: BrowserContext) {
  context.on('response', (response) => {
    const written = noteAnswer(response).finally(() => writing.delete(written))
    writing.add(written)
  })
  context.on('page', (page) => {
    page.on('websocket', (socket) => {
      socket.on('framereceived', ({ payload }) => {
        if (typeof payload === 'string') note({ message: payload })
      })
    })
  })
}

export const test = plain.extend<{ complaints: string[] }, { heard: undefined }>({
  heard: [
    async ({ browser }, use) => {
      const open = browser.newContext.bind(browser)
      browser.newContext = async (options) => {
        const context = await open(options)
        hear(context)
        return context
      }
      await use(undefined)
    },
    { auto: true, scope: 'worker' },
  ],
  complaints: [
    async ({ page }, use) => {
      const complaints: string[] = []
      page.on('pageerror', (error) => complaints.push(error.message))
      page.on('console', (message) => {
        const text = message.text()
        if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(text)) complaints.push(text)
      })
      await use(complaints)
      await Promise.all(writing)
      expect(complaints, 'what the browser complained about').toEqual([])
    },
    { auto: true },
  ],
  // A session that goes from one file to the next is asked at times whether it is still they. They say so as a person does.
  page: async ({ page, context, storageState }, use) => {
    const asked = page.getByRole('dialog', { name: 'Confirm that it is you' })
    await page.addLocatorHandler(asked, async () => {
      await asked.getByLabel('Password', { exact: true }).fill(administrator.password)
      await asked.getByRole('button', { name: 'Confirm' }).click()
      await expect(asked).toBeHidden()
      // The cookie is another one from then on.
      if (storageState === signedIn) await context.storageState({ path: signedIn })
    })
    await use(page)
  },
})

export { expect }

/** Nothing that hinders people who use a keyboard, a screen reader, or need contrast. */
export async function expectAccessible(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze()
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join('\n  ')}`)
  expect(found.join('\n')).toBe('')
}

/** No page is wider than the screen, and no text lies under a button. */
export async function expectToFit(page: Page) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  expect(overflow, 'pixels beyond the right edge').toBeLessThanOrEqual(0)
  expect(await page.evaluate(textsUnderButtons), 'texts under a button').toEqual([])
}

function textsUnderButtons(): string[] {
  const buttons = [...document.querySelectorAll('main button, main a.inline-flex')].filter((button) => button.checkVisibility())
  const texts = document.createTreeWalker(document.querySelector('main') ?? document.body, NodeFilter.SHOW_TEXT)
  const found: string[] = []
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    if (!text.parentElement?.checkVisibility() || text.parentElement.closest('.sr-only, pre, [data-testid=log-lines]') || text.textContent?.trim() === '') continue
    const range = document.createRange()
    range.selectNodeContents(text)
    const under = (button: Element) => {
      const over = button.getBoundingClientRect()
      const meets = (one: DOMRect) => one.left < over.right - 1 && one.right > over.left + 1 && one.top < over.bottom - 1 && one.bottom > over.top + 1
      return !button.contains(text) && [...range.getClientRects()].some(meets)
    }
    if (buttons.some(under)) found.push(text.textContent ?? '')
  }
  return found
}

export async function picture(page: Page, name: string) {
  // What sticks to the window is where it belongs only at the top of a whole page.
  await page.evaluate(() => {
    scrollTo(0, 0)
  })
  await page.screenshot({ path: join(folder, 'screenshots', `${name}.png`), fullPage: true, animations: 'disabled' })
}

/** The longest wait for which anyone who guessed as often as these specs is held up. */
const PATIENCE_MS = 60_000

/** Signs in as a patient person does: where the hub asks to wait, the page counts down, and then they try again. */
export async function signIn(page: Page, user: { name: string; password: string }) {
  const action = page.getByRole('button', { name: 'Sign in', exact: true })
  const inside = page.getByRole('heading', { level: 1, name: 'Dashboard' })
  await page.goto('/sign-in')
  await page.getByLabel('User name').fill(user.name)
  await page.getByLabel('Password', { exact: true }).fill(user.password)
  await action.click()
  await expect(inside.or(page.getByText(/Too many attempts\. Try again in \d+ s\./))).toBeVisible()
  if (await inside.isVisible()) return
  await expect(action).toBeEnabled({ timeout: PATIENCE_MS })
  await action.click()
  await expect(inside).toBeVisible()
}
