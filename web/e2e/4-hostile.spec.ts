import type { Page } from '@playwright/test'

import { edge, saidOutside, signedIn, wish } from './surroundings'
import { expect, test } from './walk'

test.use({ storageState: signedIn })

/** What stands in labels, variables, paths and output of the scenario's hostile container. That it runs is a complaint. */
const MARK = '<img src=x onerror=alert(1)>'

/** Nothing of it became a part of the page, and nothing was done at its word. */
async function expectHarmless(page: Page) {
  await expect(page.locator('img[src="x"], [onerror], [onload], iframe, script:not([src]), [href^="javascript:"]')).toHaveCount(0)
  await expect(page).toHaveTitle(/Windflow/)
  expect(await page.evaluate(() => sessionStorage.getItem('copied'))).toBeNull()
}

// C-21
test('whatever a hostile container is labelled, contains and says is text and nothing else', async ({ page }) => {
  const asked: string[] = []
  page.on('dialog', (dialog) => {
    asked.push(dialog.message())
    void dialog.dismiss()
  })
  await page.addInitScript(() => {
    navigator.clipboard.writeText = (text) => {
      sessionStorage.setItem('copied', text)
      return Promise.resolve()
    }
  })
  wish('start-hostile')
  await saidOutside('start-hostile')
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  const link = page.getByRole('rowheader').getByRole('link', { name: 'hostile', exact: true })
  await expect(link).toBeVisible()
  // The stack that its label names.
  await expect(page.getByRole('row').filter({ has: link }).getByText(MARK)).toBeVisible()
  await expectHarmless(page)

  await page.keyboard.press('Control+k')
  await page.getByRole('combobox', { name: 'Page, environment or container' }).fill('hostile')
  await expect(page.getByRole('group', { name: 'Containers' }).getByRole('option', { name: 'hostile' }).first()).toBeVisible()
  await expectHarmless(page)
  await page.keyboard.press('Escape')

  await link.click()
  const shown = page.getByText(MARK).filter({ visible: true }).first()
  const open = async (tab: string) => {
    await page.getByRole('tab', { name: tab, exact: true }).click()
  }
  await expect(shown).toBeVisible()
  await expectHarmless(page)
  await open('Logs')
  const lines = page.getByRole('region', { name: 'Lines' })
  await expect(lines.getByText(MARK).first()).toBeVisible()
  await expect(lines.getByText('<script>alert(1)</script>').first()).toBeVisible()
  await expect(lines.getByText('the end of it').first()).toBeVisible()
  await expectHarmless(page)
  await open('Processes')
  await expect(page.getByRole('table', { name: 'Processes' }).getByRole('row').nth(1)).toBeVisible()
  await expectHarmless(page)
  await open('Files changed')
  await expect(shown).toBeVisible()
  await expectHarmless(page)
  await open('Files')
  const file = page.getByRole('button', { name: `File ${MARK}`, exact: true })
  await file.click()
  await expect(page.getByRole('textbox', { name: `Text of ${MARK}` })).toContainText(MARK)
  await expectHarmless(page)
  await page.getByRole('button', { name: 'Close the text' }).click()
  await open('Raw data')
  await page.getByLabel('Search in names and values').fill(MARK)
  await expect(shown).toBeVisible()
  await expectHarmless(page)

  await open('Terminal')
  await page.getByRole('button', { name: 'Open the terminal' }).click()
  const screen = page.locator('.xterm-rows')
  await expect(screen).toContainText('#')
  await page.keyboard.type('printf "%b" "$SAID"\n')
  await expect(screen).toContainText('the end of it')
  await expect(screen).toContainText(MARK)
  await expectHarmless(page)
  await page.keyboard.type('exit\n')

  await page.goto('/activity')
  await expect(page.getByText('hostile').first()).toBeVisible()
  await expectHarmless(page)

  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await page.getByRole('button', { name: 'Actions for hostile' }).click()
  await page.getByRole('menuitem', { name: 'Remove' }).click()
  await page.getByRole('alertdialog').getByLabel('Also while it runs').check()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click()
  await expect(page.getByText('hostile was removed.')).toBeVisible()
  expect(asked, 'what it asked the user').toEqual([])
})
