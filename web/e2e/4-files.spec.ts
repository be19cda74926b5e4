import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

const SIZES = [
  { width: 390, height: 844 },
  { width: 1440, height: 900 },
]

for (const viewport of SIZES) {
  test.describe(`at ${viewport.width}`, () => {
    test.use({ viewport, storageState: signedIn })
    // A long way in one go.
    test.describe.configure({ timeout: 180_000 })

    test(`files of a container are uploaded, edited, renamed and deleted at ${viewport.width}`, async ({ page }) => {
      await page.goto('/environments')
      await page.getByRole('link', { name: edge, exact: true }).click()
      await page.getByRole('rowheader').getByRole('link', { name: 'web', exact: true }).click()
      await page.getByRole('tab', { name: 'Files', exact: true }).click()
      const table = page.getByRole('table', { name: 'Files' })
      await expect(table.getByRole('button', { name: 'etc', exact: false }).first()).toBeVisible()
      await expectAccessible(page)
      await expectToFit(page)
      await picture(page, `files-${viewport.width}`)

      // A folder for what follows, and a file in it from the desk.
      await page.getByRole('button', { name: 'New', exact: true }).click()
      await page.getByRole('dialog').getByLabel('Name').fill('walk')
      await expectAccessible(page)
      await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
      await table.getByRole('button', { name: 'Folder walk', exact: true }).click()
      await expect(page.getByText('This folder is empty')).toBeVisible()
      await page.locator('input[type=file][multiple]').setInputFiles({ name: 'settings.yaml', mimeType: 'text/yaml', buffer: Buffer.from('colour: blue # as the sea\n') })
      await expect(page.getByText('One upload is over')).toBeVisible()
      await page.getByRole('region', { name: 'Uploads' }).getByRole('button', { name: 'Close' }).click()

      await table.getByRole('button', { name: 'File settings.yaml', exact: true }).click()
      const text = page.getByRole('textbox', { name: 'Text of settings.yaml' })
      await expect(text).toContainText('colour: blue')
      await text.click()
      await page.keyboard.press('Control+End')
      await page.keyboard.type('size: 3')
      await expectAccessible(page)
      await expectToFit(page)
      await picture(page, `editor-${viewport.width}`)
      await page.keyboard.press('Control+s')
      await expect(page.getByText('settings.yaml was saved.')).toBeVisible()
      await page.getByRole('button', { name: 'Close the text' }).click()

      const [download] = await Promise.all([
        page.waitForEvent('download'),
        (async () => {
          await page.getByRole('button', { name: 'Actions for settings.yaml' }).click()
          await page.getByRole('menuitem', { name: 'Download', exact: true }).click()
        })(),
      ])
      expect(download.suggestedFilename()).toBe('settings.yaml')
      const chunks: Buffer[] = []
      for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer)
      expect(Buffer.concat(chunks).toString()).toBe('colour: blue # as the sea\nsize: 3')

      await page.getByRole('button', { name: 'Actions for settings.yaml' }).click()
      await page.getByRole('menuitem', { name: 'Permissions' }).click()
      await page.getByRole('dialog').getByLabel('Others: Write').check()
      await expect(page.getByRole('dialog').getByLabel('In octal digits')).toHaveValue('0646')
      await expectAccessible(page)
      await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
      await expect(page.getByRole('dialog')).toBeHidden()
      await page.getByRole('button', { name: 'Actions for settings.yaml' }).click()
      await page.getByRole('menuitem', { name: 'Rename' }).click()
      await page.getByRole('dialog').getByLabel('Name').fill('other.yaml')
      await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
      await expect(table.getByRole('button', { name: 'File other.yaml', exact: true })).toBeVisible()

      // All is as it was.
      await page.getByRole('navigation', { name: 'Folder' }).getByRole('button', { name: '/', exact: true }).click()
      await page.getByRole('button', { name: 'Actions for walk' }).click()
      await page.getByRole('menuitem', { name: 'Delete' }).click()
      await expectAccessible(page)
      await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
      await expect(table.getByRole('button', { name: 'Folder walk', exact: true })).toBeHidden()
    })
  })
}
