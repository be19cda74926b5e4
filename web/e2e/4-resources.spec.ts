import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, picture, test } from './walk'

test.use({ storageState: signedIn })

test('images, volumes and networks of all hosts are listed, and of one', async ({ page }) => {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  const beside = page.getByRole('navigation', { name: 'What else is there' })
  await beside.getByRole('link', { name: 'Images' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Images' })).toBeVisible()
  const used = page.getByRole('row').filter({ hasText: /container/ })
  await expect(used.first()).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'images')

  const all = page.getByRole('button', { name: 'Show all environments' })
  await expect(all).toHaveText(edge)
  await all.click()
  await expect(all).toBeHidden()
  await page.getByLabel('Filter by name').fill('no-such-image')
  await expect(page.getByText('Nothing matches')).toBeVisible()

  await page.goto('/networks?sort=-containers')
  await expect(page.getByRole('rowheader', { name: /^bridge/ }).first()).toBeVisible()
  await expectAccessible(page)
  await page.goto('/volumes')
  await expect(page.getByRole('heading', { level: 1, name: 'Volumes' })).toBeVisible()
  await expectAccessible(page)
})
