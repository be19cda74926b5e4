import { expect, test } from 'vitest'

import { creation, fromBase64Url, toBase64Url } from './creation'

test('bytes survive their text, which has nothing that an address would escape', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
  const text = toBase64Url(bytes.buffer)
  expect(text).toMatch(/^[A-Za-z0-9_-]+$/)
  expect(fromBase64Url(text)).toEqual(bytes)
  expect(fromBase64Url('')).toEqual(new Uint8Array())
})

test('a browser is asked for a passkey that verifies its user and is found without a name', () => {
  const begun = { challenge: 'AQID', rp_id: 'hub.example', user_handle: 'BAU', user_name: 'ada', algorithms: [-8, -7], known: [{ id: 'Bg', transports: ['usb'] }] }
  const asked = creation(begun)
  expect(asked.challenge).toEqual(Uint8Array.of(1, 2, 3))
  expect(asked.rp.id).toBe('hub.example')
  expect(asked.authenticatorSelection).toEqual({ residentKey: 'required', requireResidentKey: true, userVerification: 'required' })
  expect(asked.pubKeyCredParams.map(({ alg }) => alg)).toEqual([-8, -7])
  expect(asked.excludeCredentials).toEqual([{ type: 'public-key', id: Uint8Array.of(6), transports: ['usb'] }])
  expect(asked.attestation).toBe('none')
})
