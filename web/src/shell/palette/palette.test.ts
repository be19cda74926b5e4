// @vitest-environment happy-dom
import { beforeEach, describe, expect, test } from 'vitest'

import { matching, type Choice } from './choices'
import { readRecent, remember } from './recent'

const page = (label: string): Choice => ({ kind: 'page', path: `/${label}`, label })

test('pages are found by any words of their names, whatever the case and the accents', () => {
  const pages = [page('Clés d’enrôlement'), page('Conteneurs'), page('Mon compte')]
  const labels = (text: string) => matching(pages, text).map(({ label }) => label)
  expect(labels('')).toHaveLength(3)
  expect(labels('ENROL cle')).toEqual(['Clés d’enrôlement'])
  expect(labels('con')).toEqual(['Conteneurs'])
  expect(labels('con x')).toEqual([])
})

describe('where somebody went', () => {
  beforeEach(() => {
    localStorage.clear()
  })

  test('is remembered, the newest first, each once and not too many', () => {
    for (const label of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'b']) remember('ada', page(label))
    expect(readRecent('ada').map(({ label }) => label)).toEqual(['b', 'g', 'f', 'e', 'd', 'c'])
  })

  test('is nobody else’s', () => {
    remember('ada', page('a'))
    expect(readRecent('bob')).toEqual([])
  })

  test('leads nowhere else, whatever is stored', () => {
    const stored = [page('a'), { ...page('b'), path: 'https://evil.example' }, { ...page('c'), path: '//evil.example' }, { kind: 'x', path: '/d', label: 'd' }, null, 7]
    localStorage.setItem('windflow.palette.ada', JSON.stringify(stored))
    expect(readRecent('ada')).toEqual([page('a')])
    localStorage.setItem('windflow.palette.ada', '{')
    expect(readRecent('ada')).toEqual([])
  })
})
