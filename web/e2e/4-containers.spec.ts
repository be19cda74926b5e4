import { edge, signedIn, wish } from './surroundings'
import { expect, expectAccessible, picture, test } from './walk'

test.use({ storageState: signedIn })

test('containers are stopped and started, and the list changes by itself', async ({ page }) => {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await expect(page.getByRole('heading', { level: 1, name: edge })).toBeVisible()
  const web = page.getByRole('row').filter({ hasText: 'web' })
  await expect(web.getByText('Running')).toBeVisible()
  await web.getByRole('button', { name: 'Stop web', exact: true }).click()
  await expect(web.getByText('Stopped')).toBeVisible({ timeout: 40_000 })
  await web.getByRole('button', { name: 'Start web', exact: true }).click()
  await expect(web.getByText('Running')).toBeVisible()

  wish('start-container')
  const newcomer = page.getByRole('row').filter({ hasText: 'newcomer' })
  await expect(newcomer.getByText('Running')).toBeVisible()

  await page.getByLabel('Filter by name').fill('newc')
  await expect(web).toBeHidden()
  await expect(newcomer).toBeVisible()
  await page.getByRole('button', { name: 'Clear' }).click()
  await expect(web).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'environment')
})

test('a host that goes away is shown as such, with what was known, and comes back', async ({ page }) => {
  await page.goto('/environments')
  const row = page.getByRole('row').filter({ hasText: edge })
  await expect(row.getByText('Online')).toBeVisible()
  await row.getByRole('link', { name: edge }).click()
  await expect(page.getByRole('button', { name: 'Stop web', exact: true })).toBeEnabled()

  wish('stop-agent')
  await expect(page.getByText('Offline').first()).toBeVisible({ timeout: 40_000 })
  await expect(page.getByText(/Shown as of .*: the host is not connected\./)).toBeVisible()
  await expect(page.getByRole('button', { name: 'Stop web', exact: true })).toBeDisabled()
  await expectAccessible(page)
  await picture(page, 'environment-offline')

  wish('start-agent')
  await expect(page.getByText('Online').first()).toBeVisible({ timeout: 60_000 })
  await expect(page.getByRole('button', { name: 'Stop web', exact: true })).toBeEnabled()
})

test('a page says when the hub cannot be reached, and shows what it knew', async ({ page, context }) => {
  await page.goto('/environments')
  await expect(page.getByRole('link', { name: edge, exact: true })).toBeVisible()
  await context.setOffline(true)
  await page.getByLabel('State').selectOption('online')
  await expect(page.getByRole('alert').or(page.getByText(/Shown as of/))).toContainText('cannot be reached')
  await picture(page, 'hub-unreachable')
  // In vain, as the hub is as far as before.
  await page.getByRole('button', { name: 'Try again' }).click()
  await expect(page.getByRole('alert').or(page.getByText(/Shown as of/))).toContainText('cannot be reached')
  // Then nobody has to ask: the page reads its lists every 30 s at the latest.
  await context.setOffline(false)
  await expect(page.getByRole('link', { name: edge, exact: true })).toBeVisible({ timeout: 45_000 })
})
