import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

const PAGES = ['/environments', '/environments/add', '/environments/add/edge', '/environments/add/tcp', '/containers', '/enrollment-tokens', '/users', '/access', '/account', '/mail', '/forgot-password', '/nowhere']
const PHONE = { width: 390, height: 844 }
const DESK = { width: 1440, height: 900 }
/** Any two of size, colours and language meet in one of them. */
const LOOKS = [
  { viewport: PHONE, colorScheme: 'light', language: 'fr' },
  { viewport: PHONE, colorScheme: 'dark', language: 'en' },
  { viewport: DESK, colorScheme: 'light', language: 'en' },
  { viewport: DESK, colorScheme: 'dark', language: 'fr' },
] as const

for (const { viewport, colorScheme, language } of LOOKS) {
  const look = `${viewport.width}-${colorScheme}-${language}`

  test.describe(look, () => {
    test.use({ viewport, colorScheme, storageState: signedIn })
    // All pages in one go.
    test.describe.configure({ timeout: 300_000 })

    test(`every page is accessible and fits at ${look}`, async ({ page }) => {
      await page.addInitScript((chosen) => {
        localStorage.setItem('windflow.language', chosen)
      }, language)
      await page.goto('/environments')
      const environment = page.getByRole('link', { name: edge, exact: true })
      const address = (await environment.getAttribute('href')) ?? ''
      for (const path of [...PAGES, address]) {
        await page.goto(path)
        await expect(page.locator('html')).toHaveAttribute('lang', language)
        await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
        await page.waitForLoadState('networkidle')
        await expectAccessible(page)
        await expectToFit(page)
        await picture(page, `${look}/${path === address ? 'environment' : path.slice(1).replaceAll('/', '-')}`)
      }
    })

    test(`a new token is accessible and fits at ${look}`, async ({ page }) => {
      await page.addInitScript((chosen) => {
        localStorage.setItem('windflow.language', chosen)
      }, language)
      await page.goto('/environments/add/edge')
      await page.locator('form button[type=submit]').click()
      await expect(page.getByRole('tab')).toHaveCount(4)
      for (const tab of await page.getByRole('tab').all()) {
        await tab.click()
        await expect(page.getByRole('tabpanel')).toContainText('wfe1_')
        await expectToFit(page)
      }
      await expectAccessible(page)
      await picture(page, `${look}/token`)
    })

    test(`signing in is accessible and fits at ${look}`, async ({ page, context }) => {
      await context.clearCookies()
      await page.addInitScript((chosen) => {
        localStorage.setItem('windflow.language', chosen)
      }, language)
      await page.goto('/sign-in')
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
      await expectAccessible(page)
      await expectToFit(page)
      await picture(page, `${look}/sign-in`)
    })
  })
}

test.describe('with the keyboard alone', () => {
  test.use({ storageState: signedIn })

  test('the content is one step away and the menu can be used', async ({ page }) => {
    await page.goto('/environments')
    await expect(page.getByRole('link', { name: edge, exact: true })).toBeVisible()
    await page.keyboard.press('Tab')
    await expect(page.getByRole('link', { name: 'Skip to content' })).toBeFocused()
    await page.getByRole('button', { name: 'Appearance and language' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('menuitem', { name: 'Français' }).focus()
    await page.keyboard.press('Enter')
    await expect(page.getByRole('heading', { level: 1, name: 'Tableau de bord' })).toBeVisible()
    await page.getByRole('button', { name: 'Apparence et langue' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('menuitem', { name: 'Sombre' }).focus()
    await page.keyboard.press('Enter')
    await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark')
  })
})
