import type { Page } from '@playwright/test'

import { startProvider, type RunningProvider } from '../federation/provider'
import { administrator, url } from '../surroundings'
import { expect, expectAccessible, expectToFit, picture, signIn, test } from '../walk'

/** The hub of these specs asks for a proof after the shortest time that it can be told, a minute. */
const TOO_OLD_MS = 90_000
/** Twice that, and what is done meanwhile. */
const WAY_MS = 5 * 60_000

const grace = 'grace'
let provider: RunningProvider

test.beforeAll(async () => {
  provider = await startProvider(process.env.WINDFLOW_PROVIDER_HOST ?? '127.0.0.1', url)
})

test.afterAll(async () => {
  await provider.stop()
})

/** Waits until the hub asks for a proof again. */
async function wait(page: Page) {
  const until = async () => {
    const answer = await page.request.get('/api/v1/session/confirmation')
    return ((await answer.json()) as { confirmed_until: string | null }).confirmed_until
  }
  await expect.poll(until, { timeout: TOO_OLD_MS, intervals: [1_000] }).toBeNull()
}

/** What a page finds by this name, in any of the dialogs that are open over each other. */
function dialog(page: Page, name: string) {
  return page.getByRole('dialog', { name })
}

async function tokens(page: Page): Promise<string[]> {
  const answer = await page.request.get('/api/v1/api-tokens')
  return ((await answer.json()) as { items: { name: string }[] }).items.map(({ name }) => name)
}

test('what takes a proof waits for it, and is done once', async ({ browser }) => {
  test.setTimeout(WAY_MS)
  // Nobody confirms here but the spec itself.
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  const page = await context.newPage()
  await signIn(page, administrator)
  await page.goto('/account')
  await wait(page)
  const names = await tokens(page)

  await page.getByRole('button', { name: 'New API token' }).click()
  const form = dialog(page, 'New API token')
  await form.getByLabel('What it is for').fill('confirmed')
  await form.getByRole('button', { name: 'Create token' }).click()
  const asked = dialog(page, 'Confirm that it is you')
  await expect(asked.getByLabel('Password', { exact: true })).toBeFocused()
  await expectAccessible(page)
  await picture(page, 'confirmation')
  await page.setViewportSize({ width: 390, height: 844 })
  await expectToFit(page)
  await expectAccessible(page)
  await picture(page, 'confirmation-390')
  await page.setViewportSize({ width: 1440, height: 900 })

  // Given up, nothing is done, and what was typed is still there.
  await page.keyboard.press('Escape')
  await expect(asked).toBeHidden()
  await expect(form.getByRole('alert')).toContainText('This takes a confirmation that it is you')
  await expect(form.getByLabel('What it is for')).toHaveValue('confirmed')
  expect(await tokens(page)).toEqual(names)

  await form.getByRole('button', { name: 'Create token' }).click()
  await asked.getByLabel('Password', { exact: true }).fill('not this one at all')
  await page.keyboard.press('Enter')
  await expect(asked.getByRole('alert')).toContainText('The present password is wrong.')
  await expect(asked.getByLabel('Password', { exact: true })).toBeFocused()
  await page.keyboard.type(administrator.password)
  await page.keyboard.press('Enter')
  await expect(asked).toBeHidden()
  await expect(page.getByRole('dialog').getByText(/^wfa1_/)).toBeVisible()
  expect((await tokens(page)).filter((name) => name === 'confirmed')).toHaveLength(1)
  await page.getByRole('dialog').getByRole('button', { name: 'Done' }).click()

  // For a while it is not asked for again.
  await page.getByRole('button', { name: 'New API token' }).click()
  await form.getByLabel('What it is for').fill('second')
  await form.getByRole('button', { name: 'Create token' }).click()
  await expect(page.getByRole('dialog').getByText(/^wfa1_/)).toBeVisible()
  await context.close()
})

test('who has no password goes to their provider and comes back to the page', async ({ browser }) => {
  test.setTimeout(WAY_MS)
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  // The provider's pages want a font of the internet and are not drawn before they have it, or know that there is none.
  const sites = [new URL(url).host, new URL(provider.issuer).host]
  await context.route(
    (address) => !sites.includes(address.host),
    (route) => route.abort(),
  )
  const page = await context.newPage()
  await signIn(page, administrator)
  const made = await page.request.post('/api/v1/identity-providers', {
    headers: { origin: url },
    data: {
      name: 'Corp',
      slug: 'corp',
      enabled: true,
      create_users: true,
      trusted_for_second_factor: false,
      required_group: null,
      client_secret: provider.client.secret,
      mappings: [],
      configuration: { kind: 'oidc', issuer: provider.issuer, client_id: provider.client.id, scopes: ['profile', 'email'], groups_claim: null, allow_private: true, allow_http: true, authorities: null },
    },
  })
  expect(made.status()).toBe(201)
  await page.getByRole('button', { name: 'Sign out' }).click()

  await page.getByRole('link', { name: 'Sign in with Corp' }).click()
  await sayWho(page, grace)
  await page.getByRole('button', { name: 'Continue' }).click()
  await expect(page).toHaveURL(new RegExp(`^${url}`))
  await page.goto('/account')
  await wait(page)
  await page.getByRole('button', { name: 'New API token' }).click()
  const form = dialog(page, 'New API token')
  await form.getByLabel('What it is for').fill('lost')
  await form.getByRole('button', { name: 'Create token' }).click()
  const asked = dialog(page, 'Confirm that it is you')
  await expect(asked.getByText('What you typed here and did not save is lost')).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'confirmation-provider')
  await asked.getByRole('button', { name: 'Confirm with Corp' }).click()
  await sayWho(page, 'mallory')
  const consent = page.getByRole('button', { name: 'Continue' })
  const back = page.getByRole('heading', { level: 1, name: 'Account' })
  await expect(consent.or(back)).toBeVisible()
  if (await consent.isVisible()) await consent.click()
  await expect(page.getByRole('alert')).toContainText('This is somebody else there')
  expect(await tokens(page)).toEqual([])

  await page.goto('/account')
  await page.getByRole('button', { name: 'New API token' }).click()
  await form.getByLabel('What it is for').fill('again')
  await form.getByRole('button', { name: 'Create token' }).click()
  await asked.getByRole('button', { name: 'Confirm with Corp' }).click()
  await sayWho(page, grace)
  await expect(consent.or(back)).toBeVisible()
  if (await consent.isVisible()) await consent.click()
  await expect(page).toHaveURL(`${url}/account`)
  await page.getByRole('button', { name: 'New API token' }).click()
  await form.getByLabel('What it is for').fill('again')
  await form.getByRole('button', { name: 'Create token' }).click()
  await expect(page.getByRole('dialog').getByText(/^wfa1_/)).toBeVisible()
  expect(await tokens(page)).toEqual(['again'])
  await context.close()
})

/** Says at the provider who it is. */
async function sayWho(page: Page, name: string) {
  await page.getByPlaceholder('Enter any login').fill(name)
  await page.getByPlaceholder('and password').fill('anything')
  await page.getByRole('button', { name: 'Sign-in' }).click()
}
