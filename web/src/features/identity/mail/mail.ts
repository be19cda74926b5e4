/** The mail server as it is filled in, and what is sent of it. */
import type { components } from '@/api/schema'

type Schemas = components['schemas']

export type MailSettings = Schemas['MailSettings']
export type NewMailSettings = Schemas['NewMailSettings']
export type MailSecurity = Schemas['Security']
export type MailLanguage = Schemas['Language']
export type Delivery = Schemas['Delivery']
export type StepReport = Schemas['StepReport']

/** Languages call themselves by their own names. */
export const LANGUAGE_OPTIONS: { value: MailLanguage; label: string }[] = [
  { value: 'en', label: 'English' },
  { value: 'fr', label: 'Français' },
]

export const SECURITIES: MailSecurity[] = ['starttls', 'tls', 'none']

/** The port that servers usually have. */
export const USUAL_PORT: Record<MailSecurity, string> = { starttls: '587', tls: '465', none: '25' }

/** The language of mails to somebody who reads the console in this one. */
export function mailLanguage(locale: string): MailLanguage {
  return locale === 'fr' ? 'fr' : 'en'
}

/** The fields of the form. */
export interface MailDraft {
  host: string
  port: string
  security: MailSecurity
  allowPlain: boolean
  allowPrivate: boolean
  user: string
  /** Left empty, the stored one stays where it goes to the same place. */
  password: string
  sender: string
  senderName: string
  authority: string
  publicUrl: string
}

export function draftOf(server: MailSettings | null | undefined, origin: string): MailDraft {
  return {
    host: server?.host ?? '',
    port: String(server?.port ?? USUAL_PORT.starttls),
    security: server?.security ?? 'starttls',
    allowPlain: server?.allow_plain ?? false,
    allowPrivate: server?.allow_private ?? false,
    user: server?.user ?? '',
    password: '',
    sender: server?.sender ?? '',
    senderName: server?.sender_name ?? '',
    authority: server?.authority ?? '',
    publicUrl: server?.public_url ?? origin,
  }
}

export function settingsFrom(draft: MailDraft): NewMailSettings {
  const given = (text: string) => (text.trim() === '' ? null : text.trim())
  return {
    host: draft.host.trim(),
    port: Number(draft.port),
    security: draft.security,
    allow_plain: draft.security === 'none' && draft.allowPlain,
    allow_private: draft.allowPrivate,
    user: given(draft.user),
    password: draft.password === '' ? null : draft.password,
    sender: draft.sender.trim(),
    sender_name: given(draft.senderName),
    authority: given(draft.authority),
    public_url: draft.publicUrl.trim(),
  }
}

/** Whether the stored password stays when this is saved without one: it goes to no other place than it was given for. */
export function keepsPassword(before: MailSettings | null | undefined, draft: MailDraft): boolean {
  if (!before?.has_password) return false
  const next = settingsFrom(draft)
  const same = (['host', 'port', 'security', 'allow_plain', 'user', 'authority'] as const).every((field) => (next[field] ?? null) === (before[field] ?? null))
  return same && next.user !== null
}
