import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

test.use({ storageState: signedIn })

test('what a container says comes by itself, and is searched and filtered', async ({ page }) => {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await page.getByRole('link', { name: 'Logs of web', exact: true }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Logs of web' })).toBeVisible()
  const lines = page.getByRole('region', { name: 'Lines' })
  await expect(lines.getByText(/^beat \d+$/).last()).toBeVisible()
  const last = Number.parseInt(((await lines.getByText(/^beat \d+$/).last().textContent()) ?? '').slice(5), 10)
  await expect(lines.getByText(`beat ${last + 2}`, { exact: true }).last()).toBeVisible()

  await page.getByRole('button', { name: 'Pause' }).click()
  await expect(page.getByRole('button', { name: /^Follow: .*waits?$/ })).toBeVisible()
  await page.getByRole('button', { name: /^Follow/ }).click()
  await expect(page.getByRole('button', { name: 'Pause' })).toBeVisible()

  await page.getByLabel('Search in the lines').fill(`beat ${last}`)
  await expect(page.getByText(/^0 of [1-9]/)).toBeVisible()
  await page.getByRole('button', { name: 'Previous match' }).click()
  await expect(lines.locator('mark').first()).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'logs')
  await page.getByRole('button', { name: 'Clear' }).click()

  await page.getByRole('button', { name: 'Options' }).click()
  await page.getByLabel('Only lines with').fill('begin')
  // It said so at each of its starts.
  await expect(lines.getByText('let us begin').last()).toBeVisible()
  await expect(lines.getByText(/^beat \d+$/)).toHaveCount(0)
  await page.getByLabel('Regular expression').check()
  await page.getByLabel('Only lines with').fill('beg(in')
  await expect(page.getByText(/unclosed group, at character 4/).first()).toBeVisible()
  await page.getByLabel('Only lines with').fill('^let.*begin$')
  await expect(lines.getByText('let us begin').last()).toBeVisible()
  await expectAccessible(page)
})

test('several containers are read as one, on a phone too', async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 })
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await page.getByRole('link', { name: 'Logs of web', exact: true }).click()
  await page.getByRole('button', { name: 'Add a container' }).click()
  await page.getByRole('button', { name: /worker/ }).click()
  await page.getByRole('button', { name: 'Close' }).click()
  await expect(page.getByRole('button', { name: 'Take worker away' })).toBeVisible()
  const lines = page.getByRole('region', { name: 'Lines' })
  await expect(lines.getByText('web', { exact: true }).first()).toBeVisible()
  await expect(lines.getByText('worker', { exact: true }).first()).toBeVisible()
  await expectToFit(page)
  await expectAccessible(page)
  await picture(page, 'phone-logs')
})
