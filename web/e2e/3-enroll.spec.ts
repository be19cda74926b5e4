import { edge, signedIn, wish } from './surroundings'
import { expect, expectAccessible, picture, test } from './walk'

test.use({ storageState: signedIn })

test('a host is added with one command and watched as it arrives', async ({ page }) => {
  await page.goto('/environments')
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  await page.getByRole('link', { name: 'Add environment' }).first().click()
  await page.getByRole('link', { name: 'A host anywhere' }).click()
  await page.getByLabel('What it is for').fill('The walk')
  await page.getByLabel('Approve each host').check()
  await page.getByRole('button', { name: 'Create token' }).click()

  const command = await page.getByRole('tabpanel').locator('code').innerText()
  const token = /wfe1_\w+/.exec(command)?.[0] ?? ''
  expect(command).toContain('/install.sh')
  await expect(page.getByText('Waiting for the host')).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'add-host-waiting')

  wish('enroll', token)
  const row = page.getByRole('listitem').filter({ hasText: edge })
  await expect(row.getByText('Waiting for approval')).toBeVisible({ timeout: 60_000 })
  await expect(row.getByText('Key fingerprint')).toBeVisible()
  await picture(page, 'add-host-pending')
  await row.getByRole('button', { name: 'Approve' }).click()
  await expect(row.getByText('Online')).toBeVisible()
  await expect(row.getByText(/over (WebSocket|QUIC), .* ms/)).toBeVisible()
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
