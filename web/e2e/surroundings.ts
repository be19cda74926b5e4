/** What the scenario that runs these specs tells them, and how they tell it what they wish. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The hub. */
export const url = process.env.WINDFLOW_URL ?? 'http://127.0.0.1:8443'
/** The code with which the first administrator is made. */
export const setupCode = process.env.WINDFLOW_SETUP_CODE ?? ''
/** Where wishes, screenshots and traces go. */
export const folder = process.env.WINDFLOW_E2E_FOLDER ?? 'test-results'
/** The browser's cookies, from one file to the next. */
export const signedIn = join(folder, 'signed-in.json')

export const administrator = { name: 'ada', password: 'seventeen quiet herons' }
/** The name under which the scenario's agent enrolls. */
export const edge = 'attic'

/** What the scenario is asked to do outside the browser. What came of it is seen in the browser. */
export type Wish = 'enroll' | 'start-container' | 'stop-agent' | 'start-agent'

export function wish(what: Wish, content = '') {
  const path = join(folder, `wish-${what}`)
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}
