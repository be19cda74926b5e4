import { administrator, edge, signedIn } from './surroundings'
import { expect, expectAccessible, picture, signIn, test } from './walk'

test.use({ storageState: signedIn })

const grace = { name: 'grace', password: 'eleven patient otters' }

test('an API token is shown once and revoked', async ({ page }) => {
  await page.goto('/account')
  await expect(page.getByText('This browser')).toBeVisible()
  await page.getByRole('button', { name: 'New API token' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('What it is for').fill('ci')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Create token' }).click()
  await expect(dialog.getByText(/^wfa1_/)).toBeVisible()
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Done' }).click()
  await expect(page.getByText(/wfa1_/)).toBeHidden()

  const row = page.getByRole('listitem').filter({ hasText: 'ci' }).filter({ hasText: 'never used' })
  await row.getByRole('button', { name: 'Revoke' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Revoke' }).click()
  await expect(row.getByText('Revoked')).toBeVisible()
})

test('a wrong present password changes nothing', async ({ page }) => {
  await page.goto('/account')
  const panel = page.getByRole('region', { name: 'Password', exact: true })
  await panel.getByLabel('Present password').fill('not this one at all')
  await panel.getByLabel('New password').fill('a quite different sentence')
  await panel.getByLabel('Repeat the password').fill('a quite different sentence')
  await page.getByRole('button', { name: 'Change password' }).click()
  await expect(page.getByRole('alert')).toContainText('The present password is wrong.')
  await expect(page.getByText(administrator.name).first()).toBeVisible()
})

test('a user is made and may look but not act', async ({ page, browser }) => {
  await page.goto('/users')
  await page.getByRole('button', { name: 'New user' }).click()
  const dialog = page.getByRole('dialog')
  await expect(dialog.getByLabel('User name')).toBeFocused()
  await dialog.getByLabel('User name').fill(grace.name)
  await dialog.getByLabel('Password', { exact: true }).fill(grace.password)
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Create user' }).click()
  await expect(page.getByRole('listitem').filter({ hasText: grace.name })).toBeVisible()

  const context = await browser.newContext({ storageState: { cookies: [], origins: [] }, ignoreHTTPSErrors: true })
  const other = await context.newPage()
  // The guesses of the specs before came from the same address.
  await signIn(other, grace)
  await other.getByRole('link', { name: edge, exact: true }).click()
  await expect(other.getByRole('row').filter({ hasText: 'web' })).toBeVisible()
  await expect(other.getByRole('button', { name: 'Stop web', exact: true })).toBeHidden()
  await expect(other.getByRole('button', { name: 'Revoke' })).toBeHidden()
  await context.close()
})

test('an enrollment token is revoked with a reason', async ({ page }) => {
  await page.goto('/environments/add/edge')
  await page.getByLabel('What it is for').fill('A mistake')
  await page.getByRole('button', { name: 'Create token' }).click()
  await expect(page.getByText('Waiting for the host')).toBeVisible()
  await page.getByRole('link', { name: 'Enrollment tokens' }).click()
  const row = page.getByRole('listitem').filter({ hasText: 'A mistake' })
  await row.getByRole('button', { name: 'Revoke' }).click()
  const dialog = page.getByRole('alertdialog')
  await expect(dialog.getByRole('button', { name: 'Revoke' })).toBeDisabled()
  await expect(dialog.getByLabel('Reason')).toBeFocused()
  await dialog.getByLabel('Reason').fill('wrong site')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Revoke' }).click()
  await expect(row.getByText('Revoked: wrong site')).toBeVisible()
  await picture(page, 'enrollment-tokens')
})
