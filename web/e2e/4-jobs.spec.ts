import type { Page } from '@playwright/test'

import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

test.use({ storageState: signedIn })

/** Nothing answers there. */
const NOWHERE = '127.0.0.1:9/none:1'
const KEPT = 'walk/kept:1'

async function openEdge(page: Page) {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await expect(page.getByRole('heading', { level: 1, name: edge })).toBeVisible()
}

test('an image that is nowhere is pulled as a job that says why it failed', async ({ page }) => {
  await openEdge(page)
  await page.getByRole('button', { name: 'Pull image' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Image', { exact: true }).fill(NOWHERE)
  await expectAccessible(page)
  await picture(page, 'pull')
  await dialog.getByRole('button', { name: 'Pull image' }).click()
  await expect(page.getByRole('heading', { level: 1, name: `Pull ${NOWHERE}` })).toBeVisible()
  await expect(page.getByText('The host does not reach the registry')).toBeVisible({ timeout: 60_000 })
  await expect(page.getByText('Failed', { exact: true })).toBeVisible()
  await expectAccessible(page)
})

test('a container becomes an image, which is cleaned up after it was shown', async ({ page }) => {
  await openEdge(page)
  await page.getByRole('button', { name: 'Actions for worker' }).click()
  await page.getByRole('menuitem', { name: 'Make an image' }).click()
  await page.getByRole('dialog').getByLabel('Name of the image').fill(KEPT)
  await expectAccessible(page)
  await page.getByRole('dialog').getByRole('button', { name: 'Make image' }).click()
  await expect(page.getByRole('heading', { level: 1, name: `Make the image ${KEPT}` })).toBeVisible()
  await expect(page.getByText('Done', { exact: true })).toBeVisible({ timeout: 60_000 })

  await openEdge(page)
  await page.getByRole('button', { name: 'Clean up' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Containers that do not run').uncheck()
  await dialog.getByLabel('Networks that no container uses').uncheck()
  await dialog.getByLabel('Images').selectOption('All that no container uses')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Show what goes' }).click()
  await expect(dialog.getByText(KEPT)).toBeVisible({ timeout: 60_000 })
  await expectAccessible(page)
  await picture(page, 'prune')
  await dialog.getByRole('button', { name: 'Remove all of this' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Clean up' })).toBeVisible()
  await expect(page.getByText(/^Removed: \d+\. Kept: 0\./)).toBeVisible({ timeout: 60_000 })
  await expect(page.getByRole('log', { name: 'Output' })).toContainText(`${KEPT}: removed`)
  await expectAccessible(page)
  await picture(page, 'job')
})

test('jobs are beside every page, and listed', async ({ page }) => {
  await page.goto('/containers')
  await page.getByRole('button', { name: /^Jobs,/ }).click()
  const drawer = page.getByRole('dialog', { name: 'Jobs' })
  await expect(drawer.getByRole('link', { name: `Pull ${NOWHERE}` })).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'jobs-drawer')
  await drawer.getByRole('link', { name: 'All jobs' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Jobs' })).toBeVisible()
  await page.getByLabel('Filter by state').selectOption('Failed')
  const list = page.getByRole('list', { name: 'Jobs' })
  await expect(list.getByText(`Make the image ${KEPT}`)).toBeHidden()
  await expect(list.getByRole('link', { name: `Pull ${NOWHERE}` })).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'jobs')
})

test.describe('on a phone', () => {
  test.use({ viewport: { width: 390, height: 844 } })

  test('jobs and their forms fit', async ({ page }) => {
    await page.goto('/jobs')
    await expect(page.getByRole('link', { name: `Pull ${NOWHERE}` })).toBeVisible()
    await expectToFit(page)
    await picture(page, 'jobs-phone')
    await page.getByRole('link', { name: 'Clean up' }).first().click()
    await expect(page.getByRole('log', { name: 'Output' })).toBeVisible()
    await expectToFit(page)
    await picture(page, 'job-phone')
    await openEdge(page)
    await page.getByRole('button', { name: 'Clean up' }).click()
    await expect(page.getByRole('dialog')).toBeVisible()
    await expectAccessible(page)
    await expectToFit(page)
    await picture(page, 'prune-phone')
  })
})
