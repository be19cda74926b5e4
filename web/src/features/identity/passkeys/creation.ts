/** What a browser is asked for and says, in the words of the hub: bytes are base64url there. */
import type { components } from '@/api/schema'

/** As long as a challenge counts. */
export const PATIENCE_MS = 5 * 60_000

/** What the browser is asked to make. */
export function creation(begun: components['schemas']['BegunPasskeyResponse']): PublicKeyCredentialCreationOptions {
  return {
    challenge: fromBase64Url(begun.challenge),
    rp: { id: begun.rp_id, name: 'Windflow' },
    user: { id: fromBase64Url(begun.user_handle), name: begun.user_name, displayName: begun.user_name },
    pubKeyCredParams: begun.algorithms.map((alg) => ({ type: 'public-key', alg })),
    excludeCredentials: begun.known.map(({ id, transports }) => ({ type: 'public-key', id: fromBase64Url(id), transports: transports as AuthenticatorTransport[] })),
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    attestation: 'none',
    timeout: PATIENCE_MS,
  }
}

export function toBase64Url(buffer: ArrayBuffer): string {
  const letters = [...new Uint8Array(buffer)].map((byte) => String.fromCharCode(byte)).join('')
  return btoa(letters).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  const letters = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(letters, (letter) => letter.charCodeAt(0))
}
