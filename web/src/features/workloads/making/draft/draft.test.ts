import { describe, expect, test } from 'vitest'
import { reactive } from 'vue'

import { differencesOf, liveChange } from '../differences'
import { complete, draftOf, read } from './draft'
import { named, newRow, rowsOf, textOf } from './pairRows'
import { readPairs, readWords, wordsText } from './texts'
import { millisText, readMillis, readSize, sizeText } from './units'

const spec = complete({
  name: 'web',
  image: 'nginx:1',
  command: ['sh', '-c', "echo 'a b'"],
  env: { A: '1', B: 'two words', C: ' spaced' },
  ports: [
    { host_ip: '::1', host_port: 8080, host_port_end: null, container_port: 80, protocol: 'tcp' },
    { host_ip: null, host_port: 9000, host_port_end: 9010, container_port: 53, protocol: 'udp' },
  ],
  mounts: [{ kind: 'volume', source: 'nfs', target: '/nfs', read_only: true, options: ['nocopy'], must_exist: false, driver: 'local', driver_options: { o: 'x' } }],
  networks: [{ name: 'front', aliases: ['www'], ipv4: '172.30.0.9', ipv6: null, mac: null }],
  resources: { cpus: 1.5, memory: 512 * 1024 * 1024, ulimits: [{ name: 'nofile', soft: 1, hard: 2 }] },
  health: { test: ['CMD-SHELL', 'true'], interval_ms: 90_000 },
})

function typed(texts: Record<string, string>) {
  const draft = draftOf(spec)
  return { ...draft, texts: { ...draft.texts, ...texts } }
}

describe('a draft', () => {
  test('that nobody touched changes nothing', () => {
    expect(read(spec, draftOf(spec))).toMatchObject({ changed: [], errors: {} })
  })

  test('changes what was typed and keeps the rest, also what a line cannot say', () => {
    const { spec: wanted, changed } = read(spec, typed({ env: 'A=2\n# none\nexport B="x\\ny"', mounts: 'nfs:/nfs:ro,nocopy\n/srv:/data' }))
    expect(changed).toEqual(['env', 'mounts'])
    expect(wanted.env).toEqual({ A: '2', B: 'x\ny' })
    expect(wanted.mounts[0]).toEqual(spec.mounts[0])
    expect(wanted.mounts[1]).toMatchObject({ kind: 'bind', source: '/srv', target: '/data', read_only: false })
  })

  test('reads what it shows', () => {
    const shown = draftOf(spec).texts
    const again = read(complete({ image: '' }), { choices: draftOf(spec).choices, texts: shown }).spec
    for (const key of ['env', 'ports', 'networks', 'command', 'health'] as const) expect(again[key]).toEqual(spec[key])
    expect(again.resources).toMatchObject(spec.resources)
  })

  test('says which field cannot be so', () => {
    const wrong = { ports: '80:x', memory: 'much', networks: 'front colour=red', command: "sh 'x", mounts: 'data:inside', env: '=x', health_interval: 'soon', stop_timeout: '1.5' }
    expect(read(spec, typed(wrong)).errors).toEqual({ ports: 'port', memory: 'size', networks: 'network', command: 'quote', mounts: 'mount', env: 'pairs', health_interval: 'time', stop_timeout: 'number' })
  })

  test('spreads ranges of ports', () => {
    const { ports } = read(spec, typed({ ports: '8000-8001:80-81\n127.0.0.1::53/udp\n70' })).spec
    expect(ports.map(({ host_ip, host_port, container_port, protocol }) => [host_ip, host_port, container_port, protocol])).toEqual([
      [null, 8000, 80, 'tcp'],
      [null, 8001, 81, 'tcp'],
      ['127.0.0.1', null, 53, 'udp'],
      [null, null, 70, 'tcp'],
    ])
  })

  test('is applied at once where the engine can', () => {
    expect(liveChange(spec, read(spec, typed({ cpus: '2' })))).toEqual({ cpus: 2 })
    expect(liveChange(spec, read(spec, typed({ cpus: '' })))).toBeNull()
    expect(liveChange(spec, read(spec, typed({ cpus: '2', user: 'app' })))).toBeNull()
  })

  test('shows what changes line by line', () => {
    const [difference, ...others] = differencesOf(spec, typed({ env: 'A=1\nB=other' }), (_kind, name) => name)
    expect(others).toEqual([])
    expect(difference).toEqual({ name: 'env', label: 'env', removed: ['B=two words', 'C=" spaced"'], added: ['B=other'] })
  })
})

test('words, sizes and times are read as they are written', () => {
  expect(readWords(wordsText(['a', "it's", 'b c', '']))).toEqual(['a', "it's", 'b c', ''])
  expect(readWords('a "b \\" c" d\\ e')).toEqual(['a', 'b " c', 'd e'])
  expect([readSize('512m'), readSize('1.5g'), readSize('64 KiB'), sizeText(64 * 1024)]).toEqual([536870912, 1610612736, 65536, '64k'])
  expect([readMillis('1m30s'), readMillis('500ms'), millisText(90_000), millisText(0)]).toEqual([90_000, 500, '1m30s', '0s'])
  expect(readPairs("A='x y'\nB")).toEqual({ A: 'x y', B: '' })
})

test('a specification that a page keeps is read as it is', () => {
  expect(read(reactive(structuredClone(spec)), draftOf(spec))).toEqual({ spec, changed: [], errors: {} })
})

describe('pairs in rows', () => {
  const plain = (text: string) => rowsOf(text)?.map(({ name, value }) => [name, value])

  test('say what their text says', () => {
    const text = 'A=1\nB=" x"\nC='
    expect(plain(text)).toEqual([
      ['A', '1'],
      ['B', ' x'],
      ['C', ''],
    ])
    expect(textOf(rowsOf(text) ?? [])).toBe(text)
    expect(rowsOf('=x')).toBeNull()
  })

  test('are nothing while they are empty, and wrong while only their name is missing', () => {
    expect(textOf([newRow(), newRow('A', '1')])).toBe('A=1')
    expect(rowsOf(textOf([newRow('', '1')]))).toBeNull()
  })

  test('take whole lines that are pasted into a name', () => {
    const row = newRow('', 'kept')
    const after = (typed: string) => named([newRow('Z', '0'), row], row.key, typed).map(({ name, value }) => [name, value])
    expect(after(' A ')).toEqual([
      ['Z', '0'],
      ['A', 'kept'],
    ])
    expect(after('# none\nA=\nexport B="2"')).toEqual([
      ['Z', '0'],
      ['A', 'kept'],
      ['B', '2'],
    ])
  })
})
