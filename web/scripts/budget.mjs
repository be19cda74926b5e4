// Fails when what a cold browser loads for a first page is above the budget:
// the scripts and styles of the entry, of one page and of the language that
// takes most, gzip-compressed. A browser loads one language.
import { readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const BUDGET = 200 * 1000
const FIRST_PAGES = ['src/features/identity/pages/SignInPage.vue', 'src/features/fleet/pages/DashboardPage.vue']
const LANGUAGES = ['src/locales/en.json', 'src/locales/fr.json']

const dist = fileURLToPath(new URL('../dist/', import.meta.url))
const manifest = JSON.parse(readFileSync(`${dist}.vite/manifest.json`, 'utf8'))

let failed = false
for (const page of FIRST_PAGES) {
  const inEach = LANGUAGES.map((language) => {
    const files = new Set()
    for (const start of ['index.html', language, page]) collect(start, files)
    return { bytes: [...files].reduce((sum, file) => sum + gzipSync(readFileSync(dist + file), { level: 9 }).length, 0), files }
  })
  const { bytes, files } = inEach.reduce((most, one) => (one.bytes > most.bytes ? one : most))
  const fits = bytes <= BUDGET
  failed ||= !fits
  const kilobytes = (bytes / 1000).toFixed(1)
  console.log(`${fits ? 'ok' : 'TOO BIG'}  ${kilobytes} kB of ${BUDGET / 1000} kB compressed, ${files.size} files: ${page}`)
}
// The hub serves what is in dist; the map of the build is no part of the console.
if (!failed) rmSync(`${dist}.vite`, { recursive: true })
process.exit(failed ? 1 : 0)

/** Adds the scripts and styles that `name` needs before it can run. */
function collect(name, files) {
  const chunk = manifest[name]
  if (!chunk) throw new Error(`${name} is not in the build: change the lists in scripts/budget.mjs`)
  if (files.has(chunk.file)) return
  files.add(chunk.file)
  for (const style of chunk.css ?? []) files.add(style)
  for (const next of chunk.imports ?? []) collect(next, files)
}
