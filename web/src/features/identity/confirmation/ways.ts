/** The ways in which somebody can confirm that it is they. */
import type { components } from '@/api/schema'

type Schemas = components['schemas']

export type Confirmed = Schemas['Confirmed']
export type Way = Schemas['WayToConfirm']
export type Proof = Schemas['ConfirmSessionRequest']

/** The hub accepts no longer path to come back to. */
const NEXT_MAX = 512

/** What the dialog begins with: something to type, where there is; then a passkey; then what leads elsewhere. */
export function sorted(ways: Way[]): Way[] {
  const rank = ({ kind }: Way) => (kind === 'provider' ? 2 : kind === 'passkey' ? 1 : 0)
  return [...ways].sort((one, other) => rank(one) - rank(other))
}

/** Whether there is something to type. */
export function isTyped(way: Way): boolean {
  return way.kind === 'password' || way.kind === 'directory'
}

/** What is sent of what was typed; null where nothing is. */
export function proofOf(way: Way, { name, password, code }: { name: string; password: string; code: string }): Proof | null {
  const typed = { password, code: code.trim() || null }
  switch (way.kind) {
    case 'password':
      return { kind: way.kind, ...typed }
    case 'directory':
      return { kind: way.kind, name: name.trim(), ...typed }
    case 'passkey':
    case 'provider':
      return null
  }
}

/** Where a browser comes back to from a provider. */
export function wayBack(fullPath: string): string {
  return fullPath.length <= NEXT_MAX ? fullPath : (fullPath.split(/[?#]/, 1)[0] ?? '/').slice(0, NEXT_MAX)
}
