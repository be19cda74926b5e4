/** A container's specification as it is typed: one text for each field, in the words of `docker run`. */
import type { ContainerSpec } from '@/api/types'

import { FieldError } from './fieldError'
import { pairsText, readPairs, readWords, wordsText } from './texts'
import { readMounts, mountsText } from './mounts'
import { networksText, readNetworks } from './networks'
import { portsText, readPorts } from './ports'
import type { Sent } from './sent'
import { millisText, readMillis, readSize, sizeText } from './units'

/** Every field of a specification; of its parts what is set. */
type Spec = Required<Sent<ContainerSpec>>

interface TextField {
  of: (spec: Spec) => string
  into: (spec: Spec, text: string) => void
}

const lines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
const words = (text: string) => text.split(/[\s,]+/).filter(Boolean)

function text(key: { [K in keyof Spec]: Spec[K] extends string | null | undefined ? K : never }[keyof Spec]): TextField {
  return {
    of: (spec) => (spec[key] as string | null | undefined) ?? '',
    into: (spec, typed) => Object.assign(spec, { [key]: typed.trim() || (key === 'image' ? '' : null) }),
  }
}

function list(key: { [K in keyof Spec]: Spec[K] extends string[] ? K : never }[keyof Spec], split = words, join = ' '): TextField {
  return { of: (spec) => (spec[key] as string[]).join(join), into: (spec, typed) => Object.assign(spec, { [key]: split(typed) }) }
}

function pairs(key: 'env' | 'labels' | 'sysctls'): TextField {
  return { of: (spec) => pairsText(spec[key]), into: (spec, typed) => Object.assign(spec, { [key]: readPairs(typed) }) }
}

function whole(typed: string): number | null {
  if (typed.trim() === '') return null
  const number = Number(typed.trim())
  if (!Number.isInteger(number)) throw new FieldError('number')
  return number
}

function resource(key: keyof Spec['resources'], read: (typed: string) => unknown, write: (value: never) => string = String): TextField {
  return {
    of: ({ resources }) => (resources[key] == null ? '' : write(resources[key] as never)),
    into: (spec, typed) => {
      spec.resources = { ...spec.resources, [key]: typed.trim() === '' ? null : read(typed) }
    },
  }
}

function health(key: 'interval_ms' | 'timeout_ms' | 'start_period_ms'): TextField {
  return {
    of: (spec) => millisText(spec.health?.[key] ?? null),
    into: (spec, typed) => {
      if (spec.health || typed.trim()) spec.health = { ...spec.health, [key]: readMillis(typed) }
    },
  }
}

/** Every field that is typed, by its name in the form. */
export const FIELDS = {
  name: text('name'),
  image: text('image'),
  platform: text('platform'),
  command: { of: ({ command }) => wordsText(command ?? []), into: (spec, typed) => Object.assign(spec, { command: typed.trim() ? readWords(typed) : null }) },
  entrypoint: { of: ({ entrypoint }) => (entrypoint ? wordsText(entrypoint) || '""' : ''), into: (spec, typed) => Object.assign(spec, { entrypoint: typed.trim() ? readWords(typed).filter(Boolean) : null }) },
  working_dir: text('working_dir'),
  user: text('user'),
  hostname: text('hostname'),
  env: pairs('env'),
  ports: { of: ({ ports }) => portsText(ports), into: (spec, typed) => Object.assign(spec, { ports: readPorts(lines(typed)) }) },
  mounts: { of: ({ mounts }) => mountsText(mounts), into: (spec, typed) => Object.assign(spec, { mounts: readMounts(lines(typed), spec.mounts) }) },
  networks: { of: ({ networks }) => networksText(networks), into: (spec, typed) => Object.assign(spec, { networks: readNetworks(lines(typed)) }) },
  dns: list('dns'),
  dns_search: list('dns_search'),
  extra_hosts: list('extra_hosts', lines, '\n'),
  max_retries: {
    of: ({ restart }) => (restart.max_retries == null ? '' : String(restart.max_retries)),
    into: (spec, typed) => {
      spec.restart = { ...spec.restart, max_retries: whole(typed) }
    },
  },
  cpus: resource('cpus', (typed) => {
    const cpus = Number(typed.trim())
    if (!(cpus > 0)) throw new FieldError('number')
    return cpus
  }),
  memory: resource('memory', readSize, sizeText),
  memory_swap: resource('memory_swap', (typed) => (typed.trim() === '-1' ? -1 : readSize(typed)), (size: number) => (size === -1 ? '-1' : sizeText(size))),
  pids: resource('pids', whole),
  shm_size: resource('shm_size', readSize, sizeText),
  ulimits: {
    of: ({ resources }) => (resources.ulimits ?? []).map(({ name, soft, hard }) => `${name}=${soft}:${hard}`).join('\n'),
    into: (spec, typed) => {
      const ulimits = lines(typed).map((line) => {
        const [, name, soft, hard] = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(line) ?? []
        if (!name) throw new FieldError('ulimit')
        return { name, soft: Number(soft), hard: Number(hard ?? soft) }
      })
      spec.resources = { ...spec.resources, ulimits }
    },
  },
  devices: {
    of: ({ resources }) => (resources.devices ?? []).map(({ host, container, permissions }) => `${host}:${container}:${permissions ?? 'rwm'}`).join('\n'),
    into: (spec, typed) => {
      const devices = lines(typed).map((line) => {
        const [host = '', container, permissions] = line.split(':')
        if (!host.startsWith('/')) throw new FieldError('path')
        return { host, container: container ?? host, permissions: permissions ?? 'rwm' }
      })
      spec.resources = { ...spec.resources, devices }
    },
  },
  gpus: {
    of: ({ resources: { gpus } }) => (!gpus ? '' : gpus.ids?.length ? gpus.ids.join(',') : gpus.count === -1 ? 'all' : String(gpus.count ?? 'all')),
    into: (spec, typed) => {
      const asked = typed.trim()
      const count = /^\d$/.test(asked) ? Number(asked) : -1
      const gpus = asked === '' ? null : asked === 'all' || count > 0 ? { ...spec.resources.gpus, ids: [], count } : { ...spec.resources.gpus, ids: words(asked), count: null }
      spec.resources = { ...spec.resources, gpus }
    },
  },
  cap_add: list('cap_add'),
  cap_drop: list('cap_drop'),
  security_opt: list('security_opt', lines, '\n'),
  sysctls: pairs('sysctls'),
  health_test: {
    of: ({ health: check }) => {
      const [kind, ...rest] = check?.test ?? []
      return kind === 'NONE' ? 'NONE' : kind === 'CMD' ? wordsText(rest) : (rest[0] ?? '')
    },
    into: (spec, typed) => {
      const line = typed.trim()
      const test = line === '' ? [] : line === 'NONE' ? ['NONE'] : ['CMD-SHELL', line]
      spec.health = line === '' ? null : { ...spec.health, test }
    },
  },
  health_interval: health('interval_ms'),
  health_timeout: health('timeout_ms'),
  health_start_period: health('start_period_ms'),
  health_retries: {
    of: (spec) => (spec.health?.retries == null ? '' : String(spec.health.retries)),
    into: (spec, typed) => {
      if (spec.health || typed.trim()) spec.health = { ...spec.health, retries: whole(typed) }
    },
  },
  labels: pairs('labels'),
  log_driver: {
    of: ({ log }) => log?.driver ?? '',
    into: (spec, typed) => {
      spec.log = typed.trim() ? { ...spec.log, driver: typed.trim() } : null
    },
  },
  log_options: {
    of: ({ log }) => pairsText(log?.options ?? {}),
    into: (spec, typed) => {
      if (spec.log || typed.trim()) spec.log = { ...spec.log, options: readPairs(typed) }
    },
  },
  stop_signal: text('stop_signal'),
  stop_timeout: { of: (spec) => (spec.stop_timeout == null ? '' : String(spec.stop_timeout)), into: (spec, typed) => Object.assign(spec, { stop_timeout: whole(typed) }) },
} satisfies Record<string, TextField>

export type FieldName = keyof typeof FIELDS
export type Texts = Record<FieldName, string>

/** What is ticked or chosen. */
export interface Choices {
  pull: Spec['pull']
  restart: NonNullable<Spec['restart']['when']>
  init: boolean
  privileged: boolean
  read_only: boolean
  tty: boolean
  stdin: boolean
  auto_remove: boolean
  publish_all: boolean
}

export interface Draft {
  texts: Texts
  choices: Choices
}

/** Top-level fields of a specification with what is to stand in them. */
export type Changes = Partial<Spec>

const SWITCHES = ['privileged', 'read_only', 'tty', 'stdin', 'auto_remove', 'publish_all'] as const

/** A specification with every field, as the hub fills them. */
export function complete(spec: Sent<ContainerSpec>): Spec {
  return { ...EMPTY, ...spec, resources: { ...EMPTY.resources, ...spec.resources } }
}

export function draftOf(spec: Spec): Draft {
  const names = Object.keys(FIELDS) as FieldName[]
  const texts = Object.fromEntries(names.map((name) => [name, FIELDS[name].of(spec)])) as Texts
  const { pull, privileged, read_only, tty, stdin, auto_remove, publish_all } = spec
  return { texts, choices: { pull, restart: spec.restart.when ?? 'no', init: spec.init ?? false, privileged, read_only, tty, stdin, auto_remove, publish_all } }
}

export interface Reading {
  spec: Spec
  /** The fields of the specification that are not as before. */
  changed: (keyof Spec)[]
  /** The fields of the form that cannot be so, and why. */
  errors: Partial<Record<FieldName, string>>
}

/** The specification of what was typed: what was not touched is as it was. */
export function read(before: Spec, typed: Draft): Reading {
  const was = draftOf(before)
  const spec = copyOf(before)
  const errors: Reading['errors'] = {}
  for (const name of Object.keys(FIELDS) as FieldName[]) {
    if (typed.texts[name] === was.texts[name]) continue
    try {
      FIELDS[name].into(spec, typed.texts[name])
    } catch (error) {
      if (!(error instanceof FieldError)) throw error
      errors[name] = error.message
    }
  }
  const { choices } = typed
  spec.pull = choices.pull
  if (choices.restart !== was.choices.restart) spec.restart = { when: choices.restart, max_retries: choices.restart === 'on-failure' ? (spec.restart.max_retries ?? null) : null }
  if (choices.init !== was.choices.init) spec.init = choices.init
  for (const name of SWITCHES) spec[name] = choices[name]
  const changed = (Object.keys(spec) as (keyof Spec)[]).filter((key) => JSON.stringify(spec[key]) !== JSON.stringify(before[key]))
  return { spec, changed, errors }
}

/** A specification is JSON. It may stand behind Vue's proxies, which `structuredClone` does not take. */
function copyOf(spec: Spec): Spec {
  return JSON.parse(JSON.stringify(spec)) as Spec
}

const EMPTY: Spec = {
  name: null,
  image: '',
  pull: 'missing',
  platform: null,
  command: null,
  entrypoint: null,
  env: {},
  ports: [],
  expose: [],
  publish_all: false,
  mounts: [],
  volumes_from: [],
  networks: [],
  restart: { when: 'no', max_retries: null },
  auto_remove: false,
  resources: {},
  cap_add: [],
  cap_drop: [],
  security_opt: [],
  privileged: false,
  read_only: false,
  init: null,
  user: null,
  group_add: [],
  working_dir: null,
  hostname: null,
  domainname: null,
  health: null,
  labels: {},
  dns: [],
  dns_search: [],
  dns_options: [],
  extra_hosts: [],
  log: null,
  stop_signal: null,
  stop_timeout: null,
  tty: false,
  stdin: false,
  sysctls: {},
  ipc: null,
  pid: null,
  uts: null,
  userns: null,
  cgroupns: null,
  cgroup_parent: null,
  runtime: null,
}
