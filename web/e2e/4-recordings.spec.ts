import type { Page } from '@playwright/test'

import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

test.use({ storageState: signedIn })

async function openEdge(page: Page) {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await expect(page.getByRole('heading', { level: 1, name: edge })).toBeVisible()
}

async function switchRecording(page: Page, on: boolean) {
  await openEdge(page)
  await page.getByRole('button', { name: 'Actions', exact: true }).click()
  await page.getByRole('menuitem', { name: 'Recording of terminals' }).click()
  const box = page.getByRole('checkbox', { name: 'Record terminals' })
  await expectAccessible(page)
  await box.setChecked(on)
  await page.getByRole('button', { name: 'Save' }).click()
  await expect(box).toBeHidden()
  await expect(page.getByText(on ? 'Recorded' : 'Not recorded', { exact: true })).toBeVisible()
}

test('a terminal is recorded where that is switched on, and played back, downloaded and deleted', async ({ page }) => {
  await switchRecording(page, true)
  await page.getByRole('rowheader').getByRole('link', { name: 'web', exact: true }).click()
  await page.getByRole('tab', { name: 'Terminal' }).click()
  await page.getByRole('button', { name: 'Open the terminal' }).click()
  await expect(page.getByText('This terminal is recorded: what it shows is kept.')).toBeVisible()
  const screen = page.locator('.xterm-rows')
  await expect(screen).toContainText('#')
  await expectAccessible(page)
  await page.keyboard.type('echo "product $((6 * 7))"\n')
  await expect(screen).toContainText('product 42')
  await page.keyboard.type('exit\n')
  await expect(page.getByText('The program ended with exit code 0.')).toBeVisible()
  await page.getByRole('button', { name: 'Close terminal ash' }).click()

  await page.getByRole('link', { name: 'Recordings' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Recordings' })).toBeVisible()
  const list = page.getByRole('list', { name: 'Recordings' })
  await expect(list.getByRole('listitem')).toHaveCount(1)
  await expectAccessible(page)
  await picture(page, 'recordings')
  await list.getByRole('link', { name: 'ash in web' }).click()

  const player = page.getByRole('region', { name: 'Player' })
  const position = player.getByLabel('Position')
  await player.getByLabel('Speed').selectOption('4×')
  await player.getByRole('button', { name: 'Play' }).click()
  await expect(screen).toContainText('product 42')
  await expect(player.getByRole('button', { name: 'Play' })).toBeVisible()
  await position.press('Home')
  await expect(screen).not.toContainText('product 42')
  await position.press('End')
  await expect(screen).toContainText('product 42')
  await expectAccessible(page)
  await picture(page, 'recording')

  await page.setViewportSize({ width: 390, height: 844 })
  await expectToFit(page)
  await expectAccessible(page)
  await picture(page, 'phone-recording')
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download' }).click()])
  expect(download.suggestedFilename()).toMatch(/\.cast$/)
  await page.goto('/recordings')
  await expect(list.getByRole('listitem')).toHaveCount(1)
  await expectToFit(page)
  await expectAccessible(page)

  await list.getByRole('link', { name: 'ash in web' }).click()
  await page.getByRole('button', { name: 'Delete', exact: true }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByText('No recordings')).toBeVisible()
  await page.setViewportSize({ width: 1440, height: 900 })
  await switchRecording(page, false)
})
