import { edge, saidOutside, signedIn, wish } from './surroundings'
import { expect, expectAccessible, picture, test } from './walk'

test.use({ storageState: signedIn, permissions: ['clipboard-read', 'clipboard-write'] })

test('a host is added with the one command of the page and watched as it arrives', async ({ page }) => {
  // The machine fetches, checks and starts what it was told to.
  test.setTimeout(240_000)
  await page.goto('/environments')
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  await page.getByRole('link', { name: 'Add environment' }).first().click()
  await page.getByRole('link', { name: 'A host anywhere' }).click()
  await page.getByLabel('What it is for').fill('The walk')
  await page.getByLabel('Approve each host').check()
  await page.getByRole('button', { name: 'Create token' }).click()

  const panel = page.getByRole('tabpanel')
  await panel.getByRole('button', { name: 'Copy' }).click()
  await expect(panel.getByText('Copied')).toBeVisible()
  const command = await page.evaluate(() => navigator.clipboard.readText())
  expect(command).toBe(await panel.locator('code').innerText())
  expect(command).toContain('/install.sh')
  await expect(page.getByText('Waiting for the host')).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'add-host-waiting')

  wish('install', command)
  const row = page.getByRole('listitem').filter({ hasText: edge })
  await expect(row.getByText('Waiting for approval')).toBeVisible({ timeout: 120_000 })
  const said = await saidOutside('install')
  expect(said).toContain('has to approve this host')
  const words = await row.getByText('Key fingerprint').locator('xpath=following-sibling::p').innerText()
  expect(said, 'the words that two people compare').toContain(words)
  await picture(page, 'add-host-pending')

  await row.getByRole('button', { name: 'Approve' }).click()
  await expect(row.getByText('Online')).toBeVisible()
  await expect(row.getByText(/over (WebSocket|QUIC), .* ms/)).toBeVisible()
  await expect(row.getByText(words)).toBeVisible()
  await expect(page.getByText('Waiting for the host')).toBeHidden()
  await expectAccessible(page)
  await picture(page, 'add-host-online')
})

test('an engine on TCP without certificates is refused with what to do', async ({ page }) => {
  await page.goto('/environments/add/tcp')
  await page.getByLabel('Name').fill('nas')
  await page.getByLabel('Address').fill('tcp://192.0.2.1:2376')
  await page.getByRole('button', { name: 'Add engine' }).click()
  await expect(page.getByRole('alert')).toContainText('without TLS')
  await expectAccessible(page)
})
