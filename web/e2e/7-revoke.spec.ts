import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, picture, test } from './walk'

test.use({ storageState: signedIn })

test('an agent is revoked with a reason, and its environment says so', async ({ page }) => {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await page.getByRole('button', { name: 'Revoke' }).click()
  const dialog = page.getByRole('alertdialog')
  await dialog.getByLabel('Reason').fill('the walk ends')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Revoke' }).click()
  await expect(page.getByText('This agent was revoked', { exact: false })).toBeVisible()
  await expect(page.getByText('the walk ends')).toBeVisible()
  await picture(page, 'environment-revoked')
})

test('a removed environment is gone from the list', async ({ page }) => {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await page.getByRole('button', { name: 'Actions', exact: true }).click()
  await page.getByRole('menuitem', { name: 'Remove' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible()
  await expect(page.getByRole('link', { name: edge, exact: true })).toBeHidden()
})

test('signing out ends the session', async ({ page, context }) => {
  await page.goto('/environments')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Sign in' })).toBeVisible()
  // The cookie of before is of no use either.
  await context.addCookies([])
  await page.goto('/environments')
  await expect(page).toHaveURL(/\/sign-in/)
})
