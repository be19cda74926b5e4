/** A real provider of OpenID Connect, whose groups a spec gives and takes. */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import Provider from 'oidc-provider'

export interface RunningProvider {
  issuer: string
  client: { id: string; secret: string }
  /** Who is in which groups, by the name they sign in with. */
  groups: Map<string, string[]>
  stop: () => Promise<void>
}

/** Listens on this address, for a hub under this one. */
export async function startProvider(host: string, hub: string): Promise<RunningProvider> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const issuer = `http://${host}:${String((server.address() as AddressInfo).port)}`
  const client = { id: 'windflow', secret: randomUUID() }
  const groups = new Map<string, string[]>()
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        redirect_uris: [`${hub}/api/v1/auth/oidc/corp/callback`],
        post_logout_redirect_uris: [`${hub}/sign-in`],
        backchannel_logout_uri: `${hub}/api/v1/auth/oidc/corp/backchannel-logout`,
        backchannel_logout_session_required: true,
      },
    ],
    features: { backchannelLogout: { enabled: true } },
    cookies: { keys: [randomUUID()] },
    pkce: { required: () => true, methods: ['S256'] },
    scopes: ['openid', 'profile', 'email', 'groups'],
    claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email'], groups: ['groups'] },
    findAccount: (_ctx: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, email: `${id}@corp.example`, groups: groups.get(id) ?? [] }),
    }),
  })
  server.on('request', provider.callback())
  const stop = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections()
      server.close(() => {
        resolve()
      })
    })
  return { issuer, client, groups, stop }
}
