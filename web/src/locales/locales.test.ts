import { parse as parseTemplate, NodeTypes, type TemplateChildNode } from '@vue/compiler-dom'
import { parse as parseComponent } from '@vue/compiler-sfc'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import en from './en.json'
import fr from './fr.json'

const src = join(import.meta.dirname, '..')
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(vue|ts)$/.test(name))
const sources = files.filter((name) => !name.endsWith('.test.ts') && name !== 'api/schema.ts')
const texts = new Map(sources.map((name) => [name, readFileSync(join(src, name), 'utf8')]))

/** Attributes that a person reads or hears. */
const SPOKEN = ['title', 'alt', 'label', 'aria-label', 'text', 'hint']
/** Commands and file formats are the same in every language. */
const UNIVERSAL = /^[\s\d\p{P}\p{S}]*$|^(-----BEGIN [A-Z ]+-----|xxxx-xxxx-xxxx-xxxx|edge-\*|10\.0\.0\.0\/8|site=fra)$/u

function flatten(messages: object, path = ''): Map<string, string> {
  const entries = Object.entries(messages as Record<string, string | object>).flatMap(([key, value]): [string, string][] => {
    const name = path ? `${path}.${key}` : key
    return typeof value === 'string' ? [[name, value]] : [...flatten(value, name)]
  })
  return new Map(entries)
}

const english = flatten(en)
const french = flatten(fr)

/** Keys that the source names: whole ones, and patterns where a part is computed. */
function usedKeys(): { key: string; pattern: RegExp; file: string }[] {
  return [...texts].flatMap(([file, text]) => {
    const calls = [...text.matchAll(/\bt\(\s*(['`])([^'`]+)\1/g)].map((match) => match[2] ?? '')
    const titles = [...text.matchAll(/\bmeta: \{ title: '([^']+)'/g)].map((match) => match[1] ?? '')
    const keys = [...text.matchAll(/\bconst key = `(failures\.[^`]+)`/g)].map((match) => match[1] ?? '')
    return [...calls, ...titles, ...keys].map((key) => ({ key, pattern: patternOf(key), file }))
  })
}

function patternOf(key: string): RegExp {
  const parts = key.split(/\$\{[^}]*\}/).map((part) => part.replaceAll('.', String.raw`\.`))
  return new RegExp(`^${parts.join('[A-Za-z_]+')}$`)
}

function placeholders(message: string): string[] {
  return [...new Set(message.match(/\{\w+\}/g) ?? [])].sort()
}

describe('languages', () => {
  test('both have exactly the same keys', () => {
    expect([...french.keys()].sort()).toEqual([...english.keys()].sort())
  })

  test('a message has the same placeholders and as many plural forms in both', () => {
    for (const [key, message] of english) {
      const other = french.get(key) ?? ''
      expect(placeholders(other), key).toEqual(placeholders(message))
      expect(other.split('|').length, key).toBe(message.split('|').length)
    }
  })

  test('every key that the source uses exists', () => {
    const missing = usedKeys().filter(({ pattern }) => ![...english.keys()].some((key) => pattern.test(key)))
    expect(missing.map(({ key, file }) => `${file}: ${key}`)).toEqual([])
  })

  test('every key is used', () => {
    const used = usedKeys()
    const idle = [...english.keys()].filter((key) => !used.some(({ pattern }) => pattern.test(key)))
    expect(idle).toEqual([])
  })

  test('no template holds a text of its own', () => {
    const found = [...texts].filter(([file]) => file.endsWith('.vue')).flatMap(([file, text]) => {
      const template = parseComponent(text).descriptor.template?.content ?? ''
      return rawTexts(parseTemplate(template).children).map((raw) => `${file}: ${raw}`)
    })
    expect(found).toEqual([])
  })
})

function rawTexts(nodes: TemplateChildNode[]): string[] {
  return nodes.flatMap((node) => {
    if (node.type === NodeTypes.TEXT) return UNIVERSAL.test(node.content.trim()) ? [] : [node.content.trim()]
    if (node.type !== NodeTypes.ELEMENT) return []
    const spoken = node.props.flatMap((prop) => {
      const isRaw = prop.type === NodeTypes.ATTRIBUTE && [...SPOKEN, 'placeholder'].includes(prop.name)
      const content = isRaw ? (prop.value?.content ?? '') : ''
      return content && !UNIVERSAL.test(content) ? [`${prop.name}="${content}"`] : []
    })
    return [...spoken, ...rawTexts(node.children)]
  })
}
