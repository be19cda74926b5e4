// What the built console costs: the size of its first pages, the longest task
// of the page while somebody scrolls and filters a list of 1,000 environments
// of a simulated fleet, and the charts of a host's last 30 days. Nothing passes or fails here; the figures
// are for people to read. See docs/BENCHMARKS.md.
import { existsSync, readFileSync } from 'node:fs'

import { chromium } from '@playwright/test'

import { ORIGIN, simulate } from './fleet.mjs'

const ENVIRONMENTS = 1_000
const LONG_TASK_MS = 50
const FIRST_PAGE_KB = 200
const CHARTS_MS = 100
const CHART_ROUNDS = 7
const SIZES = [
  { width: 1440, height: 900 },
  { width: 390, height: 844 },
]
/** Turned in one frame: a quick hand. */
const WHEEL_PX = 600
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking']

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS })
console.log(`The dashboard of ${ENVIRONMENTS} environments of a simulated fleet in groups, in ${browser.version()}\n`)
line('figure', 'measured', 'required', '')
for (const viewport of SIZES) {
  for (const view of ['tiles', 'table']) await measure(viewport, view)
}
for (const viewport of SIZES) await measureCharts(viewport)
await browser.close()

async function measure(viewport, view) {
  const context = await browser.newContext({ viewport, locale: 'en-US', reducedMotion: 'no-preference' })
  const page = await context.newPage()
  const at = `${view}, ${viewport.width} px`
  await page.addInitScript((view) => {
    localStorage.setItem('windflow.environments.view', view)
  }, view)
  await page.addInitScript(() => {
    globalThis.longTasks = []
    new PerformanceObserver((list) => globalThis.longTasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: 'longtask', buffered: true })
  })
  const hub = await simulate(page, ENVIRONMENTS)
  await page.goto(`${ORIGIN}/`)
  await page.locator('main li, main table tbody tr[data-index]').nth(4).waitFor()
  await settled(page)
  if (viewport === SIZES[0] && view === 'tiles') {
    for (const suffix of ['.br', '.gz']) limit(`first page, JS and CSS, as ${suffix.slice(1)} [kB]`, size(hub.loaded, suffix), FIRST_PAGE_KB)
  }
  await task(page, `scrolling to the end and back, ${at}`, () => scrollThrough(page))
  await task(page, `jumping about with the scroll bar, ${at}`, () => jump(page))
  await task(page, `filtering by name, by state, by kind, ${at}`, () => filter(page))
  await task(page, `scrolling while 50 environments change each second, ${at}`, async () => {
    const storm = setInterval(() => {
      hub.change(Math.floor(Math.random() * ENVIRONMENTS))
    }, 20)
    await scrollThrough(page)
    clearInterval(storm)
  })
  await context.close()
}

/** All charts of a host, from the click on `30 d` until everything is drawn. A new page each time, which has no such
 *  measurements yet: one that has shows them at once, and draws again when the hub has answered. */
async function measureCharts(viewport) {
  const [longest, all] = [[], []]
  let charts = 0
  for (let round = 0; round < CHART_ROUNDS; round++) {
    const context = await browser.newContext({ viewport, locale: 'en-US' })
    const page = await context.newPage()
    await simulate(page, 1)
    await page.goto(ORIGIN)
    await page.getByRole('link', { name: 'fra-web-0000' }).first().click()
    await page.getByRole('button', { name: '24 h', exact: true }).click()
    await settled(page)
    const tasks = await tasksDuring(page, async () => {
      await page.getByRole('button', { name: '30 d', exact: true }).click()
      await settled(page)
    })
    longest.push(Math.max(...tasks.map(({ dur }) => dur / 1_000)))
    all.push(tasks.reduce((sum, { dur }) => sum + dur / 1_000, 0))
    charts = await page.locator('figure canvas').count()
    await context.close()
  }
  const at = `${charts} charts of 30 days, ${viewport.width} px`
  limit(`${at}: the task that draws them, median [ms]`, median(longest), CHARTS_MS)
  limit('  everything from the click until the page rests, median [ms]', median(all), CHARTS_MS)
}

function median(values) {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)]
}

/** Runs `act` and prints the longest task of the page's main thread meanwhile. */
async function task(page, figure, act) {
  await page.evaluate(() => (globalThis.longTasks = [])).catch(() => null)
  const tasks = await tasksDuring(page, act)
  const long = await page.evaluate(() => globalThis.longTasks)
  limit(`${figure}: longest task [ms]`, Math.max(...tasks.map(({ dur }) => dur / 1_000)), LONG_TASK_MS)
  limit('  the most processor time of a task [ms]', Math.max(...tasks.map(({ tdur }) => (tdur ?? 0) / 1_000)), LONG_TASK_MS)
  limit('  tasks that a PerformanceObserver was told of as long [number]', long.length, 0)
}

/** The tasks of the page's main thread while `act` runs. */
async function tasksDuring(page, act) {
  await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-devtools.timeline'] })
  await act()
  await idle(page)
  const trace = JSON.parse(String(await browser.stopTracing()))
  return tasksIn(trace.traceEvents)
}

async function scrollThrough(page) {
  await page.mouse.move(200, 600)
  for (const direction of [1, -1]) {
    let before = -1
    // The list is at an end once the wheel moves nothing any more.
    for (let at = await page.evaluate(() => scrollY); at !== before; at = await page.evaluate(() => scrollY)) {
      before = at
      for (let turn = 0; turn < 8; turn++) {
        await page.mouse.wheel(0, direction * WHEEL_PX)
        await frame(page)
      }
      await idle(page)
    }
  }
}

async function jump(page) {
  for (const part of [0.5, 0.1, 0.9, 0.3, 0.7, 1, 0]) {
    await page.evaluate((part) => {
      scrollTo(0, part * document.documentElement.scrollHeight)
    }, part)
    await settled(page)
  }
}

async function filter(page) {
  const name = page.getByLabel('Filter by name')
  await name.pressSequentially('fra-web', { delay: 60 })
  await settled(page)
  await name.fill('')
  await settled(page)
  for (const [label, value] of [['State', 'offline'], ['State', ''], ['Kind', 'tcp'], ['Kind', '']]) {
    await page.getByLabel(label).selectOption(value)
    await settled(page)
  }
}

async function frame(page) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)))
}

async function idle(page) {
  await page.evaluate(() => new Promise((done) => requestIdleCallback(done)))
}

/** The filter waits for a pause, asks, and draws. */
async function settled(page) {
  await page.waitForTimeout(500)
  await idle(page)
}

/** The tasks of the thread that draws the page. Chromium tells of each twice, once within the other: it counts once. */
function tasksIn(events) {
  const thread = ({ pid, tid }) => `${pid}/${tid}`
  const main = events.filter((event) => event.name === 'thread_name' && event.args.name === 'CrRendererMain')
  const ends = new Map(main.map((event) => [thread(event), 0]))
  const isTask = (event) => event.name.endsWith('RunTask') && event.ph === 'X' && ends.has(thread(event))
  const inOrder = events.filter(isTask).sort((one, other) => one.ts - other.ts || other.dur - one.dur)
  return inOrder.filter((event) => {
    const isOutermost = event.ts >= ends.get(thread(event))
    if (isOutermost) ends.set(thread(event), event.ts + event.dur)
    return isOutermost
  })
}

/** What the hub sends of these files, compressed as it does. */
function size(files, suffix) {
  const code = [...files].filter((file) => /\.(js|css)$/.test(file))
  return code.reduce((sum, file) => sum + readFileSync(existsSync(file + suffix) ? file + suffix : file).length, 0) / 1_000
}

function limit(figure, value, most) {
  line(figure, value.toFixed(Number.isInteger(value) ? 0 : 1), `<= ${most}`, value <= most ? 'ok' : 'MISSED')
}

function line(...cells) {
  const [figure, measured, required, verdict] = cells
  console.log(`${figure.padEnd(90)}${measured.padStart(9)}  ${required.padEnd(9)} ${verdict}`)
}
