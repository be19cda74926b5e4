import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

const SIZES = [
  { width: 390, height: 844 },
  { width: 1440, height: 900 },
]

for (const viewport of SIZES) {
  test.describe(`at ${viewport.width}`, () => {
    test.use({ viewport, storageState: signedIn })

    test(`a shell is opened, typed at, and there again after the page was loaded anew at ${viewport.width}`, async ({ page }) => {
      await page.goto('/environments')
      await page.getByRole('link', { name: edge, exact: true }).click()
      await page.getByRole('rowheader').getByRole('link', { name: 'web', exact: true }).click()
      await expect(page.getByRole('heading', { level: 1, name: 'web' })).toBeVisible()
      await expectAccessible(page)
      await page.getByRole('tab', { name: 'Terminal' }).click()
      await expectToFit(page)
      await page.getByRole('button', { name: 'Open the terminal' }).click()

      const screen = page.locator('.xterm-rows')
      await expect(screen).toContainText('#')
      await page.keyboard.type('word=kept; echo "product $((6 * 7))"\n')
      await expect(screen).toContainText('product 42')
      await expectAccessible(page)
      await expectToFit(page)
      await picture(page, `terminal-${viewport.width}`)

      await page.reload()
      await expect(screen).toContainText('product 42')
      await page.keyboard.type('echo "it was $word"\n')
      await expect(screen).toContainText('it was kept')

      await page.getByRole('button', { name: 'Search', exact: true }).click()
      await page.getByLabel('Search in the terminal').fill('product 42')
      await expect(page.getByText('1 of 1')).toBeVisible()
      await expectAccessible(page)
      await page.keyboard.press('Escape')

      await page.keyboard.type('exit 3\n')
      await expect(page.getByText('The program ended with exit code 3.')).toBeVisible()
      await expectAccessible(page)
      await page.getByRole('button', { name: 'Close terminal ash' }).click()
      await expect(page.getByRole('button', { name: 'Open the terminal' })).toBeVisible()
    })
  })
}
