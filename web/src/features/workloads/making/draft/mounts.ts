/** Mounts, a line each: `/host:/inside:ro`, `volume:/inside`, `/inside`, `tmpfs:/inside:size=64m`. */
import type { MountSpec } from '@/api/types'

import { FieldError } from './fieldError'

const MEMORY = 'tmpfs'

export function mountsText(mounts: MountSpec[]): string {
  return mounts.map(mountText).join('\n')
}

function mountText({ kind, source, target, read_only: readOnly, options }: MountSpec): string {
  const asked = [...(readOnly ? ['ro'] : []), ...(options ?? [])].join(',')
  const from = kind === 'tmpfs' ? `${MEMORY}:` : source ? `${source}:` : ''
  return `${from}${target}${asked ? `:${asked}` : ''}`
}

/** A line that stands as before is the mount that it was, also where it had more to it than a line can say. */
export function readMounts(lines: string[], before: MountSpec[]): MountSpec[] {
  return lines.map((line) => before.find((mount) => mountText(mount) === line) ?? readLine(line))
}

function readLine(line: string): MountSpec {
  const parts = line.split(':')
  const source = parts.length > 1 ? parts[0] : undefined
  const target = parts.length > 1 ? parts[1] : parts[0]
  if (parts.length > 3 || !target?.startsWith('/') || source === '') throw new FieldError('mount')
  const options = (parts[2] ?? '').split(',').filter((option) => option !== '' && option !== 'rw')
  const read_only = options.includes('ro')
  const rest = { target, read_only, options: options.filter((option) => option !== 'ro'), must_exist: false, driver: null, driver_options: {} }
  if (source === MEMORY) return { kind: 'tmpfs', source: null, ...rest }
  return { kind: source?.startsWith('/') ? 'bind' : 'volume', source: source ?? null, ...rest }
}
