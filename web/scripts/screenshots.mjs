// Copies some of the pictures that the walk took into the documents: pass the
// walk's folder, if it is not the one below `target`.
import { copyFileSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const BYTES_MAX = 250_000
/** Where the walk put it, and what it is called in the documents. */
const PICTURES = {
  'dashboard-1440': 'dashboard',
  environment: 'environment',
  'terminal-1440': 'terminal',
  recording: 'recording',
  'add-host-waiting': 'add-host',
  'add-host-pending': 'add-host-approval',
  'environment-offline': 'environment-offline',
  'files-390': 'phone-files',
  '390-dark-en/environments': 'phone-dashboard-dark',
  '390-light-fr/environments': 'phone-dashboard-fr',
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const from = process.argv[2] ?? join(root, 'target/tmp/console')
const to = join(root, 'docs/screenshots')
mkdirSync(to, { recursive: true })
for (const [picture, name] of Object.entries(PICTURES)) {
  const source = join(from, 'screenshots', `${picture}.png`)
  const bytes = statSync(source).size
  if (bytes > BYTES_MAX) throw new Error(`${picture} has ${bytes} bytes, and ${BYTES_MAX} are the most`)
  copyFileSync(source, join(to, `${name}.png`))
  console.log(`docs/screenshots/${name}.png  ${(bytes / 1_000).toFixed(0)} kB`)
}
