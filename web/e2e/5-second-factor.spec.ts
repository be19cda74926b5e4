import { createHmac } from 'node:crypto'

import type { Page } from '@playwright/test'

import { administrator, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, signIn, test } from './walk'

test.use({ storageState: signedIn })

const linus = { name: 'linus', password: 'nine careful badgers' }
const STEP_MS = 30_000

/** What an authenticator app shows at a moment. */
function codeOf(secret: string, at = Date.now()): string {
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
  const step = Buffer.alloc(8)
  step.writeBigUInt64BE(BigInt(Math.floor(at / STEP_MS)))
  const mac = createHmac('sha1', key).update(step).digest()
  const number = mac.readUInt32BE((mac[19] ?? 0) & 15) & 0x7fffffff
  return String(number % 1_000_000).padStart(6, '0')
}

/** Goes through the steps of setting up; gives the secret and the recovery codes. */
async function setUp(page: Page, password: string, name: string): Promise<{ secret: string; codes: string[] }> {
  await page.getByLabel('Present password').last().fill(password)
  await page.getByRole('button', { name: 'Next' }).click()
  await expect(page.getByRole('img', { name: /QR code/ })).toBeVisible()
  const secret = (await page.locator('code').filter({ hasText: /^[A-Z2-7 ]{39}$/ }).innerText()).replaceAll(' ', '')
  await expectAccessible(page)
  await expectToFit(page)
  await picture(page, `second-factor-${name}`)
  const field = page.getByLabel('Code', { exact: true })
  await expect(field).toBeFocused()
  await expect(field).toHaveAttribute('autocomplete', 'one-time-code')
  await field.fill(codeOf(secret))
  await page.getByRole('button', { name: 'Turn on' }).click()
  const shown = await page.locator('pre').innerText()
  const codes = shown.trim().split('\n')
  expect(codes).toHaveLength(10)
  await expectAccessible(page)
  await picture(page, `recovery-codes-${name}`)
  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Download' }).click()
  expect((await download).suggestedFilename()).toBe('windflow-recovery-codes.txt')
  await page.getByRole('button', { name: 'I have kept them' }).click()
  return { secret, codes }
}

test('a second factor is set up, asked for at sign-in and taken away', async ({ page, browser }) => {
  await page.goto('/users')
  await page.getByRole('button', { name: 'New user' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('User name').fill(linus.name)
  await dialog.getByLabel('Password', { exact: true }).fill(linus.password)
  await dialog.getByRole('button', { name: 'Create user' }).click()
  const row = page.getByRole('listitem').filter({ hasText: linus.name })
  await expect(row).toBeVisible()

  const context = await browser.newContext({ storageState: { cookies: [], origins: [] }, ignoreHTTPSErrors: true })
  const other = await context.newPage()
  await signIn(other, linus)
  await other.goto('/account')
  await other.getByRole('button', { name: 'Set up' }).click()
  const { secret, codes } = await setUp(other, linus.password, 'account')
  await expect(other.getByText('10 recovery codes left')).toBeVisible()
  await picture(other, 'account-second-factor')
  await other.getByRole('button', { name: 'Sign out' }).click()

  await other.getByLabel('User name').fill(linus.name)
  await other.getByLabel('Password', { exact: true }).fill(linus.password)
  await other.getByRole('button', { name: 'Sign in' }).click()
  const field = other.getByLabel('Code', { exact: true })
  await expect(field).toBeFocused()
  await expect(other.getByRole('alert')).toBeHidden()
  await expectAccessible(other)
  await picture(other, 'sign-in-code')
  await field.fill('000000')
  await other.keyboard.press('Enter')
  await expect(other.getByRole('alert')).toContainText('This code is wrong')
  await field.fill(codeOf(secret, Date.now() + STEP_MS))
  await other.keyboard.press('Enter')
  await expect(other.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible()

  await other.getByRole('button', { name: 'Sign out' }).click()
  await other.getByLabel('User name').fill(linus.name)
  await other.getByLabel('Password', { exact: true }).fill(linus.password)
  await other.getByRole('button', { name: 'Sign in' }).click()
  await other.getByRole('button', { name: 'Use a recovery code' }).click()
  await expect(other.getByLabel('Recovery code')).toBeFocused()
  await other.getByLabel('Recovery code').fill(codes[0] ?? '')
  await other.keyboard.press('Enter')
  await expect(other.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible()
  await context.close()

  await page.reload()
  await expect(row.getByText('Second factor', { exact: true })).toBeVisible()
  await row.getByRole('button', { name: 'Reset second factor' }).click()
  await expectAccessible(page)
  await page.getByRole('alertdialog').getByRole('button', { name: 'Reset second factor' }).click()
  await expect(row.getByText('Second factor', { exact: true })).toBeHidden()
})

test('where everyone is asked for one, nothing else is shown first', async ({ page }) => {
  await page.goto('/users')
  await page.getByLabel('Asked of').selectOption('everyone')
  await expect(page.getByRole('heading', { level: 1, name: 'Set up a second factor' })).toBeVisible()
  await page.goto('/containers')
  await expect(page).toHaveURL(/\/second-factor\?next=/)
  await expectAccessible(page)
  await picture(page, 'second-factor-due')
  const { codes } = await setUp(page, administrator.password, 'due')
  await expect(page).toHaveURL(/\/containers$/)

  await page.goto('/users')
  await page.getByLabel('Asked of').selectOption('optional')
  await expect(page.getByText('It holds from now on.')).toBeVisible()
  await picture(page, 'users-second-factor')
  await page.goto('/account')
  await page.getByRole('button', { name: 'Turn off' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Present password').fill(administrator.password)
  await dialog.getByLabel('Code, or a recovery code').fill(codes[0] ?? '')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Turn off' }).click()
  await expect(page.getByText('Your second factor is off.')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Set up' })).toBeVisible()
})
