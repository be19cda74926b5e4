import { describe, expect, test } from 'vitest'

import { draftOf, keepsPassword, mailLanguage, settingsFrom, type MailSettings } from './mail'

const server: MailSettings = {
  host: 'mail.example',
  port: 587,
  security: 'starttls',
  allow_plain: false,
  allow_private: true,
  user: 'hub',
  has_password: true,
  sender: 'hub@example.com',
  sender_name: null,
  authority: null,
  public_url: 'https://hub.example:8443',
}

describe('the mail server', () => {
  test('what is shown is sent back as it was, without a password', () => {
    const sent = settingsFrom(draftOf(server, 'https://here'))
    expect({ ...sent, has_password: true }).toEqual({ ...server, password: null })
  })

  test('nothing is set at first but what is usual', () => {
    const draft = draftOf(null, 'https://here:8443')
    expect([draft.port, draft.security, draft.publicUrl]).toEqual(['587', 'starttls', 'https://here:8443'])
    expect(settingsFrom({ ...draft, host: ' mail.example ', sender: 'a@b.c ' })).toMatchObject({ host: 'mail.example', sender: 'a@b.c', user: null, authority: null })
  })

  test('without protection is allowed only where nothing else is chosen', () => {
    const draft = { ...draftOf(server, ''), allowPlain: true }
    expect(settingsFrom(draft).allow_plain).toBe(false)
    expect(settingsFrom({ ...draft, security: 'none' }).allow_plain).toBe(true)
  })

  test('a password stays only where it goes to the same place', () => {
    const draft = draftOf(server, '')
    expect(keepsPassword(server, { ...draft, sender: 'other@example.com' })).toBe(true)
    for (const change of [{ host: 'other.example' }, { port: '465' }, { security: 'tls' as const }, { user: 'eve' }, { user: '' }, { authority: 'pem' }]) {
      expect(keepsPassword(server, { ...draft, ...change }), JSON.stringify(change)).toBe(false)
    }
    expect(keepsPassword({ ...server, has_password: false }, draft)).toBe(false)
    expect(keepsPassword(null, draft)).toBe(false)
  })

  test('mails are written in the language of the console', () => {
    expect([mailLanguage('fr'), mailLanguage('en'), mailLanguage('de')]).toEqual(['fr', 'en', 'en'])
  })
})
