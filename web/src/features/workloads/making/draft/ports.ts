/** Published ports, a line each: `127.0.0.1:8080:80/tcp`. */
import type { PublishedPort } from '@/api/types'

import { FieldError } from './fieldError'

const PORT_MAX = 65_535

export function portsText(ports: PublishedPort[]): string {
  return ports.map(portText).join('\n')
}

function portText({ host_ip: ip, host_port: first, host_port_end: last, container_port: inside, protocol }: PublishedPort): string {
  const address = ip ? `${ip.includes(':') ? `[${ip}]` : ip}:` : ''
  const outside = first == null ? '' : last == null ? String(first) : `${first}-${last}`
  const host = address || outside ? `${address}${outside}:` : ''
  return `${host}${inside}${protocol && protocol !== 'tcp' ? `/${protocol}` : ''}`
}

export function readPorts(lines: string[]): PublishedPort[] {
  return lines.flatMap(readLine)
}

function readLine(line: string): PublishedPort[] {
  const [, bracketed, bare, host, inside, protocol = 'tcp'] = /^(?:(?:\[([^\]]+)\]|([\d.]+(?=:[^:]*:))):)?(?:(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:\/(tcp|udp|sctp))?$/i.exec(line) ?? []
  if (!inside) throw new FieldError('port')
  const [first, last] = range(inside)
  const of = { host_ip: bracketed ?? bare ?? null, protocol: protocol.toLowerCase() as NonNullable<PublishedPort['protocol']> }
  const count = last - first + 1
  if (!host) return Array.from({ length: count }, (_, at) => ({ ...of, host_port: null, host_port_end: null, container_port: first + at }))
  const [from, to] = range(host)
  if (count === 1) return [{ ...of, host_port: from, host_port_end: to > from ? to : null, container_port: first }]
  if (to - from + 1 !== count) throw new FieldError('port')
  return Array.from({ length: count }, (_, at) => ({ ...of, host_port: from + at, host_port_end: null, container_port: first + at }))
}

function range(text: string): [number, number] {
  const [first = 0, last = first] = text.split('-').map(Number)
  if (first < 1 || last < first || last > PORT_MAX) throw new FieldError('port')
  return [first, last]
}
