import type { Page } from '@playwright/test'

import { administrator, url } from '../surroundings'
import { expect, expectAccessible, expectToFit, picture, signIn, test } from '../walk'
import { startProvider, type RunningProvider } from './provider'

/** Two people and their ways through a dozen pages of two sites: longer than a step of the walk. */
const WAY_MS = 5 * 60_000

const grace = 'grace'
let provider: RunningProvider

test.beforeAll(async () => {
  provider = await startProvider(process.env.WINDFLOW_PROVIDER_HOST ?? '127.0.0.1', url)
  provider.groups.set(grace, ['ops'])
})

test.afterAll(async () => {
  await provider.stop()
})

/** Says at the provider who it is, and that the hub may know it. */
async function sayWho(page: Page, name: string) {
  await page.getByPlaceholder('Enter any login').fill(name)
  await page.getByPlaceholder('and password').fill('anything')
  await page.getByRole('button', { name: 'Sign-in' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
}

async function permissions(page: Page): Promise<unknown> {
  const answer = await page.request.get('/api/v1/me')
  const me = (await answer.json()) as { name: string; permissions: string[] }
  return { name: me.name, operates: me.permissions.includes('containers.operate'), none: me.permissions.length === 0 }
}

/** How many sessions the provider's last word ended, as an administrator finds it on record. */
async function expectEnded(page: Page, sessions: number) {
  const answer = await page.request.get('/api/v1/audit?action=identity_provider.logout&outcome=done')
  const { items } = (await answer.json()) as { items: { details: { subject: string; session: string; sessions: number } }[] }
  expect(items[0]?.details).toMatchObject({ subject: grace, sessions })
  expect(items[0]?.details.session).toBeTruthy()
}

test('a provider is added and tested, and a new user comes and goes with their group', async ({ page, browser }) => {
  test.setTimeout(WAY_MS)
  await signIn(page, administrator)
  await page.goto('/identity-providers')
  await expect(page.getByText('No identity providers')).toBeVisible()
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Add provider' }).first().click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name', { exact: true }).fill('Corp')
  await dialog.getByLabel('Short name').fill('corp')
  await expect(dialog.getByText(`${url}/api/v1/auth/oidc/corp/callback`)).toBeVisible()
  await expect(dialog.getByText(`${url}/api/v1/auth/oidc/corp/backchannel-logout`)).toBeVisible()
  await dialog.getByLabel('Issuer', { exact: true }).fill(provider.issuer)
  await dialog.getByLabel('Client id').fill(provider.client.id)
  await dialog.getByLabel('Client secret').fill(provider.client.secret)
  await dialog.getByLabel('Scopes').fill('profile email groups')
  await dialog.getByLabel('Claim with the groups').fill('groups')
  await dialog.getByLabel('Make new users').check()
  await dialog.getByLabel('It is in a private network').check()
  await dialog.getByLabel('Without TLS').check()
  await dialog.getByRole('button', { name: 'Add mapping' }).click()
  await dialog.getByLabel('Group', { exact: true }).fill('ops')
  await dialog.getByLabel('Role', { exact: true }).selectOption('operator')
  await expectAccessible(page)
  await expectToFit(page)
  await picture(page, 'identity-provider-form')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByText('Corp is saved.')).toBeVisible()

  await page.getByRole('button', { name: 'Test', exact: true }).click()
  await expect(page.getByText('Passed')).toHaveCount(3)
  await expectAccessible(page)
  await picture(page, 'identity-provider-test')
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click()
  await picture(page, 'identity-providers')

  const context = await browser.newContext({ storageState: { cookies: [], origins: [] }, ignoreHTTPSErrors: true })
  // The provider's pages want a font of the internet and are not drawn before they have it, or know that there is none.
  const sites = [new URL(url).host, new URL(provider.issuer).host]
  await context.route(
    (address) => !sites.includes(address.host),
    (route) => route.abort(),
  )
  const other = await context.newPage()
  await other.goto('/containers')
  await expect(other).toHaveURL(/\/sign-in\?next=/)
  await expectAccessible(other)
  await picture(other, 'sign-in-provider')
  await other.getByRole('link', { name: 'Sign in with Corp' }).click()
  await sayWho(other, grace)
  await expect(other).toHaveURL(`${url}/containers`)
  await expect(other.getByRole('heading', { level: 1, name: 'Containers' })).toBeVisible()
  expect(await permissions(other)).toEqual({ name: grace, operates: true, none: false })
  await other.goto('/account')
  await expect(other.getByRole('heading', { name: 'Linked accounts' })).toBeVisible()
  await expect(other.getByText('Corp', { exact: true })).toBeVisible()
  await expectAccessible(other)
  await picture(other, 'account-linked')

  await page.goto('/access')
  await expect(page.getByRole('listitem').filter({ hasText: grace })).toContainText('by Corp')
  provider.groups.set(grace, [])
  await other.getByRole('button', { name: 'Sign out' }).click()
  await other.getByRole('button', { name: 'Yes, sign me out' }).click()
  await expect(other).toHaveURL(/\/sign-in/)
  expect((await other.request.get('/api/v1/me')).status()).toBe(401)

  await other.getByRole('link', { name: 'Sign in with Corp' }).click()
  await sayWho(other, grace)
  await expect(other.getByRole('heading', { name: 'Nothing is granted to you yet' })).toBeVisible()
  expect(await permissions(other)).toEqual({ name: grace, operates: false, none: true })
  await page.reload()
  await expect(page.getByText('No grants')).toBeVisible()

  // They sign out there, in another tab, and the provider's server tells the hub: what is open here ends, too.
  await expectEnded(page, 0)
  const there = await context.newPage()
  await there.goto(`${provider.issuer}/session/end`)
  await there.getByRole('button', { name: 'Yes, sign me out' }).click()
  await expect(there.getByRole('heading', { name: 'Sign-out Success' })).toBeVisible()
  expect((await there.request.get(`${url}/api/v1/me`)).status()).toBe(401)
  await expectEnded(page, 1)
  await other.reload()
  await expect(other).toHaveURL(/\/sign-in/)
  await context.close()
})

test('who does not come back with their own browser is told so', async ({ page }) => {
  await page.goto('/api/v1/auth/oidc/corp/callback?state=x&code=y')
  await expect(page).toHaveURL(/\/sign-in\?failed=expired/)
  await expect(page.getByRole('alert')).toContainText('began in another browser')
  await expectAccessible(page)
})
