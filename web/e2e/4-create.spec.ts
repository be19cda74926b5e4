import type { Page } from '@playwright/test'

import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

test.use({ storageState: signedIn })

/** The image that the walk's containers are made from. */
const IMAGE = 'windflow/busybox:latest'
const LINE = `docker run -d --name made \\
  -e GREETING='good day' -e API_TOKEN=hush --network none --label tier=walk ${IMAGE} sleep 600`

async function openEdge(page: Page) {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await expect(page.getByRole('heading', { level: 1, name: edge })).toBeVisible()
}

test('a docker run line fills the form, and a container is made from it', async ({ page }) => {
  await openEdge(page)
  await page.getByRole('link', { name: 'New container' }).click()
  await page.getByRole('button', { name: 'Paste docker run' }).click()
  await page.getByRole('dialog').getByLabel('The line').fill(LINE)
  await expectAccessible(page)
  await page.getByRole('dialog').getByRole('button', { name: 'Fill the form' }).click()
  await expect(page.getByLabel('Image', { exact: true })).toHaveValue(IMAGE)
  await page.getByText('Environment variables').click()
  await expect(page.getByLabel('Value of API_TOKEN')).toHaveValue('hush')
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Variables as text' }).click()
  await expect(page.getByLabel('Variables', { exact: true })).toHaveValue('API_TOKEN=hush\nGREETING=good day')
  await page.getByLabel('Name', { exact: true }).fill('web')
  await expect(page.getByText('Another container has this name.')).toBeVisible()
  await page.getByLabel('Name', { exact: true }).fill('made')
  await expect(page.getByText('Another container has this name.')).toBeHidden()
  await expectAccessible(page)
  await expectToFit(page)
  await picture(page, 'new-container')
  await page.getByRole('button', { name: 'Create container' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Create made' })).toBeVisible()
  await expect(page.getByText('Done', { exact: true })).toBeVisible({ timeout: 60_000 })
})

test('a container is changed after its changes were shown, and keeps its secrets', async ({ page }) => {
  await openEdge(page)
  await page.getByRole('rowheader').getByRole('link', { name: 'made', exact: true }).click()
  await page.getByRole('link', { name: 'Edit' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Edit made' })).toBeVisible()
  await page.getByText('Environment variables').click()
  await expect(page.getByLabel('Value of API_TOKEN')).toHaveValue('********')
  await page.getByLabel('Value of GREETING').fill('good night')
  await page.getByRole('button', { name: 'Review changes' }).click()
  const dialog = page.getByRole('dialog')
  await expect(dialog.getByText('+ GREETING=good night')).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'container-changes')
  await dialog.getByRole('button', { name: 'Replace container' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Replace made' })).toBeVisible()
  await expect(page.getByText('Done', { exact: true })).toBeVisible({ timeout: 60_000 })

  await openEdge(page)
  await page.getByRole('button', { name: 'Actions for made' }).click()
  await page.getByRole('menuitem', { name: 'Remove' }).click()
  await page.getByRole('alertdialog').getByLabel('Also while it runs').check()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click()
  await expect(page.getByText('made was removed.')).toBeVisible()
})
