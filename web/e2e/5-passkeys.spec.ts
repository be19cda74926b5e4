import { connect, createServer, type AddressInfo, type Server } from 'node:net'

import type { BrowserContext, Page } from '@playwright/test'

import { signedIn, url } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, signIn, test } from './walk'

test.use({ storageState: signedIn })

const marie = { name: 'marie', password: 'six curious lanterns' }
let door: Server

/** Browsers make passkeys for names only, and the hub of this walk has an address: here it is `localhost` too. */
test.beforeAll(async () => {
  const hub = new URL(url)
  door = createServer((client) => {
    const server = connect(Number(hub.port), hub.hostname)
    client.pipe(server).pipe(client)
    client.on('error', () => server.destroy())
    server.on('error', () => client.destroy())
  })
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))
})

test.afterAll(() => {
  door.close()
})

function atName(): string {
  return `https://localhost:${String((door.address() as AddressInfo).port)}`
}

/** Plugs in Chromium's own virtual authenticator, with a screen lock that opens by itself. */
async function plugIn(context: BrowserContext, page: Page) {
  const devtools = await context.newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  })
  return async () => (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials
}

test('a passkey is added, signs in alone and beside a password, and is removed', async ({ page, browser }) => {
  await page.goto('/users')
  await page.getByRole('button', { name: 'New user' }).click()
  const making = page.getByRole('dialog')
  await making.getByLabel('User name').fill(marie.name)
  await making.getByLabel('Password', { exact: true }).fill(marie.password)
  await making.getByRole('button', { name: 'Create user' }).click()
  const row = page.getByRole('listitem').filter({ hasText: marie.name })
  await expect(row).toBeVisible()

  const context = await browser.newContext({ storageState: { cookies: [], origins: [] }, ignoreHTTPSErrors: true, baseURL: atName() })
  const other = await context.newPage()
  const kept = await plugIn(context, other)
  const inside = other.getByRole('heading', { level: 1, name: 'Dashboard' })
  await signIn(other, marie)
  await other.goto('/account')
  const panel = other.getByRole('region', { name: 'Passkeys' })
  await panel.getByRole('button', { name: 'Add a passkey' }).click()
  const adding = other.getByRole('dialog')
  await adding.getByLabel('Name').fill('Phone')
  await adding.getByLabel('Present password').fill(marie.password)
  await expectAccessible(other)
  await adding.getByRole('button', { name: 'Go on' }).click()
  const phone = panel.getByRole('listitem').filter({ hasText: 'Phone' })
  await expect(phone).toContainText('Never used.')
  const [credential] = await kept()
  expect(credential).toMatchObject({ isResidentCredential: true, rpId: 'localhost' })
  await expectAccessible(other)
  await picture(other, 'account-passkeys')
  await phone.getByRole('button', { name: 'Rename Phone' }).click()
  await other.getByRole('dialog').getByLabel('Name').fill('Old phone')
  await other.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
  const renamed = panel.getByRole('listitem').filter({ hasText: 'Old phone' })
  await expect(renamed).toBeVisible()
  await other.setViewportSize({ width: 390, height: 844 })
  await expectToFit(other)
  await picture(other, 'account-passkeys-phone')
  await other.setViewportSize({ width: 1440, height: 900 })

  await other.getByRole('button', { name: 'Sign out' }).click()
  await expect(other.getByRole('button', { name: 'Sign in with a passkey' })).toBeVisible()
  await expectAccessible(other)
  await picture(other, 'sign-in-passkey')
  await other.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await expect(inside).toBeVisible()
  await other.goto('/account')
  await expect(renamed).not.toContainText('Never used.')

  await other.getByRole('button', { name: 'Sign out' }).click()
  await other.getByLabel('User name').fill(marie.name)
  await other.getByLabel('Password', { exact: true }).fill(marie.password)
  await other.getByRole('button', { name: 'Sign in', exact: true }).click()
  await expect(other.getByText(`One more step for ${marie.name}.`)).toBeVisible()
  await other.setViewportSize({ width: 390, height: 844 })
  await expectAccessible(other)
  await expectToFit(other)
  await picture(other, 'sign-in-passkey-beside-phone')
  await other.setViewportSize({ width: 1440, height: 900 })
  await other.getByRole('button', { name: 'Use a passkey' }).click()
  await expect(inside).toBeVisible()

  await page.reload()
  await expect(row.getByText('one passkey')).toBeVisible()
  await other.goto('/account')
  await renamed.getByRole('button', { name: 'Remove Old phone' }).click()
  await other.getByRole('dialog').getByLabel('Present password').fill(marie.password)
  await expectAccessible(other)
  await other.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
  await expect(renamed).toBeHidden()
  await other.getByRole('button', { name: 'Sign out' }).click()
  await other.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await expect(other.getByRole('alert')).toContainText('The passkey was not accepted.')
  await signIn(other, marie)
  await context.close()
})

test('where the hub has only an address, the console says why there are no passkeys', async ({ page }) => {
  await page.goto('/account')
  await expect(page.getByRole('region', { name: 'Passkeys' })).toContainText('Passkeys need a name')
  await expect(page.getByRole('button', { name: 'Add a passkey' })).toBeHidden()
})
