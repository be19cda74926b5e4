// @vitest-environment happy-dom
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createApp } from 'vue'

import { i18n, setLanguage, type Language } from '@/locales/i18n'

import { EVERYWHERE_ONLY, grantsByUser, grouped, holderOf, idleIn, isSame, labelFrom, ownedBy, PERMISSIONS, scopeOf, type Grant, type Scope, type Somebody } from './access'
import { useAccessTexts } from './texts'

/** What the hub says of itself. */
const hub = JSON.parse(readFileSync(join(import.meta.dirname, '../../../openapi.json'), 'utf8')) as { components: { schemas: { Permission: { enum: string[] } } } }

const grant = (more: Partial<Grant>): Grant => ({ id: 'g', role_id: 'viewer', role_name: 'viewer', scope: { kind: 'everywhere' }, created_at: '2026-01-01T12:00:00Z', ...more })

async function textsIn(language: Language) {
  await setLanguage(language)
  let texts: ReturnType<typeof useAccessTexts> | undefined
  const app = createApp({
    setup: () => {
      texts = useAccessTexts()
      return () => null
    },
  }).use(i18n)
  app.mount(document.createElement('div'))
  if (!texts) throw new Error('nothing was mounted')
  return texts
}

describe('permissions', () => {
  test('are those of the hub, no more and no fewer', () => {
    expect([...PERMISSIONS].sort()).toEqual([...hub.components.schemas.Permission.enum].sort())
  })

  test('stand by what they are about, in the order of all of them', () => {
    expect(grouped(['users.manage', 'containers.logs', 'containers.view'])).toEqual([
      { about: 'containers', permissions: ['containers.view', 'containers.logs'] },
      { about: 'users', permissions: ['users.manage'] },
    ])
    expect(grouped(PERMISSIONS).flatMap(({ permissions }) => permissions)).toEqual(PERMISSIONS)
    expect(grouped([])).toEqual([])
  })

  test('of the hub as a whole count only where they are granted everywhere', () => {
    expect(idleIn(PERMISSIONS, 'everywhere')).toEqual([])
    for (const kind of ['group', 'label', 'environment'] as const) expect([...idleIn(PERMISSIONS, kind)].sort()).toEqual([...EVERYWHERE_ONLY].sort())
    expect(idleIn(['containers.view', 'users.manage'], 'group')).toEqual(['users.manage'])
  })

  test('that make somebody an owner are three', () => {
    expect(PERMISSIONS.filter((permission) => ownedBy(permission) === 'host')).toEqual(['containers.deploy', 'engine.raw'])
    expect(PERMISSIONS.filter((permission) => ownedBy(permission) === 'hub')).toEqual(['users.manage'])
  })

  test.each(['en', 'fr'] as const)('each have a sentence of their own, and their group a name (%s)', async (language) => {
    const { sentenceOf } = await textsIn(language)
    const sentences = PERMISSIONS.map(sentenceOf)
    expect(new Set(sentences).size).toBe(PERMISSIONS.length)
    for (const sentence of sentences) expect(sentence).toMatch(/^\p{Lu}.*\.$/u)
    const names = grouped(PERMISSIONS).map(({ about }) => i18n.global.te(`access.about.${about}`))
    expect(names).not.toContain(false)
  })

  test('are the same in any order', () => {
    expect(isSame(['images.view', 'images.pull'], ['images.pull', 'images.view'])).toBe(true)
    expect(isSame(['images.view'], ['images.pull'])).toBe(false)
    expect(isSame(['images.view'], ['images.view', 'images.pull'])).toBe(false)
  })
})

describe('where a grant is to hold', () => {
  const nothing = { group: '', label: '', environment: '' }

  test('is what was chosen, and nothing while something is missing', () => {
    expect(scopeOf({ ...nothing, kind: 'everywhere', group: 'g' })).toEqual({ kind: 'everywhere' })
    expect(scopeOf({ ...nothing, kind: 'group', group: 'g', environment: 'e' })).toEqual({ kind: 'group', group_id: 'g' })
    expect(scopeOf({ ...nothing, kind: 'environment', environment: 'e' })).toEqual({ kind: 'environment', environment_id: 'e' })
    expect(scopeOf({ ...nothing, kind: 'label', label: ' site=fra ' })).toEqual({ kind: 'label', label: 'site=fra' })
    for (const kind of ['group', 'label', 'environment'] as const) expect(scopeOf({ ...nothing, kind })).toBeNull()
  })

  test('is one label, with a value or with any', () => {
    expect(labelFrom('site')).toBe('site')
    expect(labelFrom('site = fra')).toBe('site=fra')
    expect(labelFrom('rack=a=b')).toBe('rack=a=b')
    for (const wrong of ['', '=fra', 'site fra', 'site=fra\nrack=a', '-x']) expect(labelFrom(wrong), wrong).toBeNull()
  })
})

describe('a grant', () => {
  test('belongs to a user or to a team', () => {
    expect(holderOf(grant({ user_id: 'u', user_name: 'ada' }))).toEqual({ kind: 'user', id: 'u', name: 'ada' })
    expect(holderOf(grant({ user_id: null, user_name: null, team_id: 't', team_name: 'Night' }))).toEqual({ kind: 'team', id: 't', name: 'Night' })
  })

  test('of a team is not counted as one of a user’s own', () => {
    const grants = [grant({ user_id: 'u' }), grant({ user_id: 'u' }), grant({ user_id: 'v' }), grant({ team_id: 't' })]
    expect([...grantsByUser(grants)]).toEqual([['u', 2], ['v', 1]])
  })

  const ada: Somebody = { kind: 'user', id: 'u', name: 'Ada' }
  const night: Somebody = { kind: 'team', id: 't', name: 'Night' }
  const operator = { id: 'operator', name: 'operator' }
  const deployer = { id: '7', name: 'Deployer' }
  const scopes: [Scope, string | null][] = [
    [{ kind: 'everywhere' }, null],
    [{ kind: 'group', group_id: 'g' }, 'Paris'],
    [{ kind: 'label', label: 'site=fra' }, null],
    [{ kind: 'environment', environment_id: 'e' }, 'attic'],
  ]

  test('reads as a sentence in English', async () => {
    const { meaningOf } = await textsIn('en')
    expect(scopes.map(([scope, name]) => meaningOf(ada, operator, scope, name))).toEqual([
      'Ada may do what an operator may on all environments.',
      'Ada may do what an operator may on all environments of group Paris.',
      'Ada may do what an operator may on all environments with the label site=fra.',
      'Ada may do what an operator may on attic.',
    ])
    expect(meaningOf(night, deployer, { kind: 'everywhere' }, null)).toBe('Everyone in team Night may do what the role Deployer allows on all environments.')
  })

  test('reads as a sentence in French', async () => {
    const { meaningOf } = await textsIn('fr')
    expect(meaningOf(ada, operator, { kind: 'group', group_id: 'g' }, 'Paris')).toBe('Ada peut faire ce que permet le rôle Opérateur sur tous les environnements du groupe Paris.')
    expect(meaningOf(night, deployer, { kind: 'environment', environment_id: 'e' }, 'attic')).toBe('Tous les membres de l’équipe Night peuvent faire ce que permet le rôle Deployer sur attic.')
  })

  test('is found by who, role and place, as they are shown', async () => {
    const { lineOf } = await textsIn('en')
    expect(lineOf(grant({ user_id: 'u', user_name: 'ada' }))).toBe('ada · Viewer · Everywhere')
    expect(lineOf(grant({ team_id: 't', team_name: 'Night', role_id: '7', role_name: 'Deployer', scope: { kind: 'group', group_id: 'g' }, scope_name: 'Paris' }))).toBe('Team Night · Deployer · Group Paris')
    expect(lineOf(grant({ user_id: 'u', user_name: 'ada', scope: { kind: 'environment', environment_id: 'e' }, scope_name: null }))).toBe('ada · Viewer · Environment (removed)')
  })
})
