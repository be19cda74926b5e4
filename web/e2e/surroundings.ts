/** What the scenario that runs these specs tells them, and how they tell it what they wish. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect } from '@playwright/test'

/** The hub. */
export const url = process.env.WINDFLOW_URL ?? 'http://127.0.0.1:8443'
/** The code with which the first administrator is made. */
export const setupCode = process.env.WINDFLOW_SETUP_CODE ?? ''
/** Where wishes, screenshots and traces go. */
export const folder = process.env.WINDFLOW_E2E_FOLDER ?? 'test-results'
/** The browser's cookies, from one file to the next. */
export const signedIn = join(folder, 'signed-in.json')

export const administrator = { name: 'ada', password: 'seventeen quiet herons' }
/** The name of the scenario's machine, under which it enrolls. */
export const edge = 'attic'

/** What the scenario is asked to do outside the browser. What came of it is seen in the browser. */
export type Wish = 'install' | 'start-container' | 'stop-agent' | 'start-agent' | 'start-hostile'

export function wish(what: Wish, content = '') {
  const path = join(folder, `wish-${what}`)
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}

/** What was printed where the wish was fulfilled, once it is. */
export async function saidOutside(what: Wish): Promise<string> {
  const path = join(folder, `said-${what}`)
  await expect.poll(() => existsSync(path), { message: `the end of the wish to ${what}`, timeout: 120_000 }).toBe(true)
  return readFileSync(path, 'utf8')
}
