/** Networks, a line each: `front alias=www ip=172.30.0.9`. */
import type { NetworkSpec } from '@/api/types'

import { FieldError } from './fieldError'

export function networksText(networks: NetworkSpec[]): string {
  return networks
    .map(({ name, aliases, ipv4, ipv6, mac }) => [name, ...(aliases ?? []).map((alias) => `alias=${alias}`), ...(ipv4 ? [`ip=${ipv4}`] : []), ...(ipv6 ? [`ip6=${ipv6}`] : []), ...(mac ? [`mac=${mac}`] : [])].join(' '))
    .join('\n')
}

export function readNetworks(lines: string[]): NetworkSpec[] {
  return lines.map((line) => {
    const [name = '', ...rest] = line.split(/\s+/)
    const network: NetworkSpec = { name, aliases: [], ipv4: null, ipv6: null, mac: null }
    for (const part of rest) {
      const [, key, value = ''] = /^(alias|ip|ip6|mac)=(.+)$/.exec(part) ?? []
      if (!key) throw new FieldError('network')
      if (key === 'alias') network.aliases = [...(network.aliases ?? []), value]
      else Object.assign(network, { [key === 'ip' ? 'ipv4' : key === 'ip6' ? 'ipv6' : 'mac']: value })
    }
    return network
  })
}
