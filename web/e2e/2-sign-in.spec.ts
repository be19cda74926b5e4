import { administrator } from './surroundings'
import { expect, expectAccessible, picture, test } from './walk'

test('a wrong password is refused without saying which part was wrong', async ({ page }) => {
  await page.goto('/environments?state=online')
  await expect(page).toHaveURL(/\/sign-in\?next=/)
  await page.getByLabel('User name').fill(administrator.name)
  await page.getByLabel('Password', { exact: true }).fill('not the password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('alert')).toContainText('do not belong together')
  await expectAccessible(page)
})

test('signing in leads to the page that was asked for', async ({ page }) => {
  await page.goto('/environments?state=online')
  await page.getByLabel('User name').fill(administrator.name)
  await page.getByLabel('Password', { exact: true }).fill(administrator.password)
  await page.keyboard.press('Enter')
  await expect(page).toHaveURL(/\/environments\?state=online$/)
  await expect(page.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible()
})

test('who guesses is slowed down and told how long to wait', async ({ page }) => {
  await page.goto('/sign-in')
  const action = page.getByRole('button', { name: 'Sign in' })
  await page.getByLabel('User name').fill('nobody')
  await page.getByLabel('Password', { exact: true }).fill('a guess and another')
  const throttled = page.getByText(/Too many attempts\. Try again in \d+ s\./)
  for (let attempt = 0; attempt < 7; attempt++) {
    const answer = page.waitForResponse('**/api/v1/session')
    await action.click()
    if ((await answer).status() === 429) break
  }
  await expect(throttled).toBeVisible()
  await expect(action).toBeDisabled()
  await picture(page, 'sign-in-throttled')
  // The page itself counts down.
  await expect(action).toBeEnabled({ timeout: 60_000 })
  await page.getByLabel('User name').fill(administrator.name)
  await page.getByLabel('Password', { exact: true }).fill(administrator.password)
  await action.click()
  await expect(page.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible()
})
