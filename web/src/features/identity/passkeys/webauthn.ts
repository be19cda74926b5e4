/** Passkeys as the browser makes and uses them. The hub says what is asked for, and checks what came of it. */
import { api, take } from '@/api/client'
import { ApiFailure } from '@/api/failure'
import type { components } from '@/api/schema'

import { creation, fromBase64Url, PATIENCE_MS, toBase64Url } from './creation'

type Schemas = components['schemas']

/** Whether this browser knows passkeys, and offers them to this page. */
export function canUsePasskeys(): boolean {
  return globalThis.isSecureContext && typeof globalThis.PublicKeyCredential === 'function'
}

/** The credential of a new passkey. */
export async function makePasskey(begun: Schemas['BegunPasskeyResponse']): Promise<Schemas['NewCredential']> {
  const made = await asked(navigator.credentials.create({ publicKey: creation(begun) }))
  const response = made.response as AuthenticatorAttestationResponse
  return {
    client_data_json: toBase64Url(response.clientDataJSON),
    attestation_object: toBase64Url(response.attestationObject),
    // Older browsers do not say.
    transports: 'getTransports' in response ? response.getTransports() : [],
  }
}

/** Asks the hub for a challenge, and has a passkey sign it. */
export async function presentPasskey(): Promise<Schemas['PresentedPasskey']> {
  const { challenge, rp_id } = await take(api.POST('/api/v1/session/passkey/challenge'))
  const publicKey = { challenge: fromBase64Url(challenge), rpId: rp_id, userVerification: 'required', timeout: PATIENCE_MS } as const
  const used = await asked(navigator.credentials.get({ publicKey }))
  const response = used.response as AuthenticatorAssertionResponse
  return {
    id: toBase64Url(used.rawId),
    client_data_json: toBase64Url(response.clientDataJSON),
    authenticator_data: toBase64Url(response.authenticatorData),
    signature: toBase64Url(response.signature),
    user_handle: toBase64Url(response.userHandle ?? new ArrayBuffer(0)),
  }
}

/** What came of it, or why nothing did: browsers tell no more than that, so that no page learns which passkeys there are. */
async function asked(pending: Promise<Credential | null>): Promise<PublicKeyCredential> {
  try {
    const credential = await pending
    if (credential) return credential as PublicKeyCredential
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    const known = thrown instanceof DOMException && thrown.name === 'InvalidStateError'
    throw new ApiFailure(0, known ? 'passkey_known' : 'passkey_not_given', message)
  }
  throw new ApiFailure(0, 'passkey_not_given', '')
}
