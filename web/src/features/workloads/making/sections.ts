/** The parts of the form and what is typed in each. */
import type { Choices, FieldName } from './draft/draft'

export interface Entry {
  name: FieldName
  /** More than one makes it a text area. */
  rows?: number
  mono?: boolean
  /** Names with values, which can be typed in rows. */
  pairs?: boolean
}

export interface Section {
  name: 'basics' | 'env' | 'ports' | 'mounts' | 'networks' | 'restart' | 'resources' | 'health' | 'security' | 'labels' | 'process'
  entries: Entry[]
  checks: Exclude<keyof Choices, 'pull' | 'restart'>[]
}

const area = (name: FieldName, rows = 4): Entry => ({ name, rows, mono: true })
const pairs = (name: FieldName, rows: number): Entry => ({ name, rows, pairs: true })
const line = (name: FieldName): Entry => ({ name, mono: true })

export const SECTIONS: Section[] = [
  { name: 'basics', entries: [line('image'), line('name'), line('command'), line('entrypoint'), line('platform')], checks: [] },
  { name: 'env', entries: [pairs('env', 8)], checks: [] },
  { name: 'ports', entries: [area('ports')], checks: ['publish_all'] },
  { name: 'mounts', entries: [area('mounts')], checks: ['read_only'] },
  { name: 'networks', entries: [area('networks', 3), line('hostname'), line('dns'), line('dns_search'), area('extra_hosts', 3)], checks: [] },
  { name: 'restart', entries: [line('max_retries'), line('stop_signal'), line('stop_timeout')], checks: ['auto_remove'] },
  { name: 'resources', entries: [line('cpus'), line('memory'), line('memory_swap'), line('pids'), line('shm_size'), line('gpus'), area('ulimits', 3), area('devices', 3)], checks: [] },
  { name: 'health', entries: [line('health_test'), line('health_interval'), line('health_timeout'), line('health_retries'), line('health_start_period')], checks: [] },
  { name: 'security', entries: [line('cap_add'), line('cap_drop'), area('security_opt', 3), pairs('sysctls', 3)], checks: ['privileged'] },
  { name: 'labels', entries: [pairs('labels', 5), line('log_driver'), pairs('log_options', 3)], checks: [] },
  { name: 'process', entries: [line('user'), line('working_dir')], checks: ['init', 'tty', 'stdin'] },
]

/** The part of the form that is open from the beginning. */
export const FIRST = 'basics'
