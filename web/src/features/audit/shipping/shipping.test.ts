import { describe, expect, it } from 'vitest'

import type { Destination } from '@/api/types'

import { draftOf, requestOf } from './shipping'

const syslog: Destination = { kind: 'syslog', transport: 'tls', host: 'logs.example', port: 6514, authority: 'PEM' }
const webhook: Destination = { kind: 'webhook', url: 'https://logs.example/in', authority: null, allow_private: true, allow_http: false }

describe('where records go', () => {
  it('is asked for as it was stored when nothing is changed', () => {
    expect(requestOf(draftOf(null, false))).toEqual({ destination: null })
    expect(requestOf(draftOf(syslog, false))).toEqual({ destination: syslog })
    expect(requestOf(draftOf(webhook, true))).toEqual({ destination: webhook })
  })

  it('keeps, changes or drops the secret of a webhook', () => {
    const draft = draftOf(webhook, true)
    expect(requestOf({ ...draft, secret: 'a new one' })).toEqual({ destination: webhook, secret: 'a new one' })
    expect(requestOf({ ...draft, secret: 'a new one', isSigned: false })).toEqual({ destination: webhook, secret: '' })
    expect(draftOf(webhook, false).isSigned).toBe(false)
  })

  it('has an authority only where there is TLS', () => {
    expect(requestOf({ ...draftOf(syslog, false), way: 'udp' }).destination).toMatchObject({ transport: 'udp', authority: null })
  })
})
