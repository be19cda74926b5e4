import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

test.use({ storageState: signedIn })

test('what happens on an engine comes by itself, beside who did it', async ({ page, context }) => {
  await page.goto('/environments')
  await page.getByRole('link', { name: 'Activity' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Activity' })).toBeVisible()
  const list = page.getByRole('list', { name: 'Activity' })
  await expect(list.getByRole('listitem').first()).toBeVisible()

  await page.getByLabel('Filter by name or action').fill('worker')
  await page.getByLabel('Kind').selectOption('Containers')
  await page.getByLabel('Environment').selectOption(edge)
  await expect(page).toHaveURL(/kind=container/)
  await expect(list.getByText('Container started').first()).toBeVisible()

  const other = await context.newPage()
  await other.goto('/environments')
  await other.getByRole('link', { name: edge, exact: true }).click()
  const worker = other.getByRole('row').filter({ hasText: 'worker' })
  await worker.getByRole('button', { name: 'Stop worker', exact: true }).click()
  await expect(worker.getByText('Stopped')).toBeVisible({ timeout: 40_000 })
  await expect(list.getByText('Container ended').first()).toBeVisible()
  await worker.getByRole('button', { name: 'Start worker', exact: true }).click()
  await expect(worker.getByText('Running')).toBeVisible()
  await expect(other.getByRole('list', { name: 'Last events' }).getByText('Container started').first()).toBeVisible()
  await expectAccessible(other)
  await other.close()

  await page.getByLabel('Filter by name or action').fill('ada')
  await page.getByLabel('Source').selectOption('Users')
  await expect(list.getByText('Container stopped').first()).toBeVisible()
  await expect(list.getByText('Engine', { exact: true })).toHaveCount(0)
  await page.goto('/activity')
  await expect(list.getByRole('listitem').first()).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'activity')
})

test('older pages are turned to and a container has its own, on a phone too', async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 })
  await page.goto('/activity')
  const list = page.getByRole('list', { name: 'Activity' })
  await expect(list.getByRole('listitem').first()).toBeVisible()
  await expectToFit(page)
  await expectAccessible(page)
  await picture(page, 'phone-activity')

  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await page.getByRole('rowheader').getByRole('link', { name: 'worker', exact: true }).click()
  await page.getByRole('tab', { name: 'Activity' }).click()
  await expect(list.getByText('Container started').first()).toBeVisible()
  await expectToFit(page)
  await expectAccessible(page)
})
