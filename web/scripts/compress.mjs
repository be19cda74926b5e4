// Puts the compressed forms of each file beside it, once and as small as they
// get, so that the hub never compresses while somebody waits.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const TEXT = /\.(html|js|css|svg|json)$/

const dist = fileURLToPath(new URL('../dist/', import.meta.url))
for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
  const path = join(dist, name)
  if (!TEXT.test(name) || !statSync(path).isFile()) continue
  const plain = readFileSync(path)
  const forms = {
    '.br': brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } }),
    '.gz': gzipSync(plain, { level: 9 }),
  }
  for (const [suffix, bytes] of Object.entries(forms)) {
    if (bytes.length < plain.length) writeFileSync(path + suffix, bytes)
  }
}
