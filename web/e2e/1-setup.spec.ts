import { administrator, setupCode, signedIn } from './surroundings'
import { expect, expectAccessible, picture, test } from './walk'

test('a stranger is led to the setup, and a wrong code is refused', async ({ page }) => {
  await page.goto('/environments')
  await expect(page).toHaveURL(/\/setup$/)
  await expectAccessible(page)
  await picture(page, 'setup')

  await page.getByLabel('One-time setup code').fill('aaaa-bbbb-cccc-dddd')
  await page.getByLabel('User name').fill(administrator.name)
  await page.getByLabel('Password', { exact: true }).fill(administrator.password)
  await page.getByLabel('Repeat the password').fill('something else')
  await expect(page.getByText('The two passwords differ.')).toBeVisible()
  await page.getByLabel('Repeat the password').fill(administrator.password)
  await page.getByRole('button', { name: 'Create administrator' }).click()
  await expect(page.getByRole('alert')).toContainText('The setup code is wrong or too old')
  await expectAccessible(page)
})

test('the right code makes the first administrator and signs them in', async ({ page, context }) => {
  await page.goto('/')
  await page.getByLabel('One-time setup code').fill(setupCode)
  await page.getByLabel('User name').fill(administrator.name)
  await page.getByLabel('Password', { exact: true }).fill(administrator.password)
  await page.getByLabel('Repeat the password').fill(administrator.password)
  await page.getByRole('button', { name: 'Create administrator' }).click()

  await expect(page.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible()
  await expect(page.getByText('Administrator')).toBeVisible()
  await context.storageState({ path: signedIn })
})

test('once there is a user the setup is gone', async ({ page }) => {
  await page.goto('/setup')
  await expect(page).toHaveURL(/\/sign-in$/)
})
