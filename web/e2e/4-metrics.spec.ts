import { edge, signedIn } from './surroundings'
import { expect, expectAccessible, expectToFit, picture, test } from './walk'

test.use({ storageState: signedIn })

test('what a host and a container use is drawn, and compared with the time before', async ({ page }) => {
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  const processor = page.getByRole('img', { name: /^Processor: used/ })
  await expect(processor).toBeVisible()
  await expect(page.getByRole('img', { name: /^Memory: used .+, in all / })).toBeVisible()
  await page.getByRole('button', { name: '24 h' }).click()
  await expect(page.getByRole('button', { name: '24 h' })).toHaveAttribute('aria-pressed', 'true')
  await page.getByLabel('Compare with the time before').check()
  await expect(processor).toBeVisible()
  await expectAccessible(page)

  await page.getByRole('button', { name: '1 h', exact: true }).click()
  const drawn = await processor.boundingBox()
  if (!drawn) throw new Error('the chart has no place')
  await page.mouse.move(drawn.x + drawn.width * 0.6, drawn.y + drawn.height / 2)
  await page.mouse.down()
  await page.mouse.move(drawn.x + drawn.width * 0.9, drawn.y + drawn.height / 2, { steps: 4 })
  await page.mouse.up()
  await page.getByRole('button', { name: 'Whole range' }).click()

  await page.getByRole('rowheader').getByRole('link', { name: 'web', exact: true }).click()
  await page.getByRole('tab', { name: 'Usage' }).click()
  await expect(page.getByRole('img', { name: /^Memory: used .+, limit / })).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'metrics')
})

test('what is used now is told every two seconds for as long as somebody looks', async ({ page }) => {
  const wishes: string[] = []
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => wishes.push(String(payload))))
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  const live = page.getByRole('button', { name: '5 min, live' })
  await live.click()
  await expect(live).toHaveAttribute('aria-pressed', 'true')
  await expect(page.getByText('Measured every 2 seconds')).toBeVisible({ timeout: 20_000 })
  await expect(page.getByText(/^now \d/).first()).toBeVisible()
  await expectAccessible(page)
  await picture(page, 'metrics-live')

  await page.goBack()
  await expect.poll(() => wishes.at(-1) ?? 'none').not.toContain('"metrics"')
  expect(wishes.some((wish) => wish.includes('"metrics"'))).toBe(true)
})

test('charts fit a phone', async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 })
  await page.goto('/environments')
  await page.getByRole('link', { name: edge, exact: true }).click()
  await expect(page.getByRole('img', { name: /^Processor: used/ })).toBeVisible()
  await expectToFit(page)
  await expectAccessible(page)
  await picture(page, 'phone-metrics')
})
