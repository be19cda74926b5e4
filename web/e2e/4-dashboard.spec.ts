import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

test.use({ storageState: signedIn })

const SIZES = [
  { width: 1440, height: 900 },
  { width: 390, height: 844 },
]

for (const viewport of SIZES) {
  test.describe(`at ${viewport.width} px`, () => {
    test.use({ viewport })

    test('environments are put into groups, labelled, and found by them', async ({ page }) => {
      await page.goto('/')
      await expect(page.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible()
      await page.getByRole('button', { name: 'Groups' }).click()
      const groups = page.getByRole('dialog')
      await groups.getByLabel('New group').fill('Roofs')
      await groups.getByRole('button', { name: 'Create' }).click()
      await expect(groups.getByRole('button', { name: 'Rename Roofs' })).toBeVisible()
      await groups.getByLabel('New group').fill('ROOFS')
      await groups.getByRole('button', { name: 'Create' }).click()
      await expect(groups.getByRole('alert')).toContainText('This name is taken')
      await expectAccessible(page)
      await page.keyboard.press('Escape')

      await page.getByRole('link', { name: edge, exact: true }).click()
      await page.getByRole('button', { name: 'Actions', exact: true }).click()
      await page.getByRole('menuitem', { name: 'Group and labels' }).click()
      const place = page.getByRole('dialog')
      await place.getByLabel('Group', { exact: true }).selectOption('Roofs')
      await place.getByLabel('Labels').fill('site=top floor\na b')
      await expect(place.getByText('Write key=value on each line.')).toBeVisible()
      await place.getByLabel('Labels').fill('site=top floor')
      await expectAccessible(page)
      await place.getByRole('button', { name: 'Save' }).click()
      await expect(place).toBeHidden()
      await expect(page.getByText('Roofs')).toBeVisible()

      await page.goto('/')
      await expect(page.getByRole('heading', { level: 2, name: 'Roofs' })).toBeVisible()
      const tile = page.getByRole('listitem').filter({ hasText: edge })
      await expect(tile.getByText(/\d+ running/)).toBeVisible()
      await expect(tile.getByText('site=top floor')).toBeVisible()
      await expectAccessible(page)
      await expectToFit(page)
      await picture(page, `dashboard-${viewport.width}`)

      await page.getByLabel('Label or key=value').fill('site=top floor')
      await expect(page).toHaveURL(/label=site/)
      await expect(page.getByRole('listitem')).toHaveCount(1)
      await page.getByRole('button', { name: 'Table' }).click()
      await expect(page.getByRole('row').filter({ hasText: edge })).toBeVisible()
      await expect(page.getByRole('rowheader', { name: 'Roofs 1' })).toBeVisible()
      await expectAccessible(page)
      await expectToFit(page)
      await page.reload()
      await expect(page.getByRole('row').filter({ hasText: edge })).toBeVisible()
      await picture(page, `dashboard-table-${viewport.width}`)

      await page.getByRole('button', { name: 'Tiles' }).click()
      await page.getByRole('button', { name: /^\d+ offline/ }).click()
      await expect(page.getByText('No environment matches')).toBeVisible()
      await page.getByRole('button', { name: 'Clear filters' }).click()
      await expect(page.getByRole('link', { name: edge, exact: true })).toBeVisible()
    })

    test('the palette leads to pages, environments and containers by the keyboard alone', async ({ page }) => {
      await page.goto('/account')
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
      await page.keyboard.press('Control+k')
      const field = page.getByRole('combobox', { name: 'Page, environment or container' })
      await expect(field).toBeFocused()
      await field.fill('contai')
      await expect(page.getByRole('option', { name: 'Containers' })).toHaveAttribute('aria-selected', 'true')
      await page.keyboard.press('Enter')
      await expect(page).toHaveURL(/\/containers$/)

      await page.getByRole('button', { name: 'Go to…' }).click()
      await expect(page.getByRole('group', { name: 'Recent' }).getByRole('option', { name: 'Containers' })).toBeVisible()
      await field.fill(edge)
      await expect(page.getByRole('group', { name: 'Environments' }).getByRole('option', { name: edge })).toBeVisible()
      await field.fill('worker')
      const worker = page.getByRole('group', { name: 'Containers' }).getByRole('option', { name: 'worker' }).filter({ hasText: edge })
      await expect(worker).toBeVisible()
      await expectAccessible(page)
      await picture(page, `palette-${viewport.width}`)
      for (let step = 0; step < 10 && (await worker.getAttribute('aria-selected')) !== 'true'; step++) await page.keyboard.press('ArrowDown')
      await page.keyboard.press('Enter')
      await expect(page.getByRole('heading', { level: 1, name: 'worker' })).toBeVisible()

      await page.keyboard.press('Control+k')
      await field.fill('nothing is called so')
      await expect(page.getByText('Nothing is called so.')).toBeVisible()
      await page.keyboard.press('Escape')
      await expect(field).toBeHidden()
    })

    test('what was made for this is taken away again', async ({ page }) => {
      await page.goto('/')
      await page.getByRole('link', { name: edge, exact: true }).click()
      await page.getByRole('button', { name: 'Actions', exact: true }).click()
      await page.getByRole('menuitem', { name: 'Group and labels' }).click()
      await page.getByRole('dialog').getByLabel('Labels').fill('')
      await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
      await expect(page.getByRole('dialog')).toBeHidden()
      await page.goto('/')
      await page.getByRole('button', { name: 'Groups' }).click()
      const groups = page.getByRole('dialog')
      await groups.getByRole('button', { name: 'Remove Roofs' }).click()
      await groups.getByRole('button', { name: 'Remove', exact: true }).click()
      await expect(groups.getByText('There are no groups yet.')).toBeVisible()
      await page.keyboard.press('Escape')
      await expect(page.getByRole('heading', { level: 2, name: 'Roofs' })).toBeHidden()
    })
  })
}
