/** What a registry wants to see, for one pull: it is sent once and kept nowhere. */
import type { components } from '@/api/schema'

/** As it is typed. */
export interface TypedLogin {
  username: string
  password: string
}

/** Nothing typed. */
export const nobody = (): TypedLogin => ({ username: '', password: '' })

/** The part of a request that says who signs in; nothing where nobody does. */
export function loginOf({ username, password }: TypedLogin): { login?: components['schemas']['RegistryLogin'] } {
  return username.trim() === '' && password === '' ? {} : { login: { username: username.trim(), password } }
}
