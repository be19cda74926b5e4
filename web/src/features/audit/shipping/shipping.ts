/** What somebody says of where audit records go, and what the hub is asked for. */
import type { AuditShippingRequest, Destination } from '@/api/types'

export const WAYS = ['off', 'webhook', 'tls', 'tcp', 'udp'] as const
export type Way = (typeof WAYS)[number]

export interface Draft {
  way: Way
  host: string
  port: string
  url: string
  /** What was typed; nothing where the one before stays. */
  secret: string
  isSigned: boolean
  authority: string
  allowPrivate: boolean
  allowHttp: boolean
}

/** The usual port of syslog over TLS. */
const PORT = 6514

/** What is stored, to be changed. */
export function draftOf(stored: Destination | null, hasSecret: boolean): Draft {
  const [syslog, webhook] = [stored?.kind === 'syslog' ? stored : null, stored?.kind === 'webhook' ? stored : null]
  return {
    way: syslog?.transport ?? (webhook ? 'webhook' : 'off'),
    host: syslog?.host ?? '',
    port: String(syslog?.port ?? PORT),
    url: webhook?.url ?? '',
    secret: '',
    isSigned: webhook ? hasSecret : true,
    authority: stored?.authority ?? '',
    allowPrivate: webhook?.allow_private ?? false,
    allowHttp: webhook?.allow_http ?? false,
  }
}

/** What the hub is asked for. */
export function requestOf(draft: Draft): AuditShippingRequest {
  const authority = (draft.way === 'tls' || draft.way === 'webhook') && draft.authority.trim() !== '' ? draft.authority : null
  switch (draft.way) {
    case 'off':
      return { destination: null }
    case 'webhook': {
      const destination: Destination = { kind: 'webhook', url: draft.url.trim(), authority, allow_private: draft.allowPrivate, allow_http: draft.allowHttp }
      if (!draft.isSigned) return { destination, secret: '' }
      return draft.secret === '' ? { destination } : { destination, secret: draft.secret }
    }
    default:
      return { destination: { kind: 'syslog', transport: draft.way, host: draft.host.trim(), port: Number(draft.port), authority } }
  }
}
