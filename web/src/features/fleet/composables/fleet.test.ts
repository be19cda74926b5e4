// @vitest-environment happy-dom
import { describe, expect, test } from 'vitest'

import { grouped } from './enrollment'
import { installOf } from './install'
import { labelsOf, listOf } from './tokenTerms'

describe('the install commands', () => {
  const hub = 'https://hub.example:8443'

  test('are made for the address that the browser used', () => {
    const install = installOf(hub, 'wfe1_x')
    expect(install.command).toBe(`curl -fsSL ${hub}/install.sh | sudo sh -s -- --hub ${hub} --token wfe1_x`)
    expect(install.steps.split('\n')).toEqual([
      `curl -fsSL ${hub}/install.sh >install.sh`,
      'less install.sh',
      `sudo sh install.sh --hub ${hub} --token wfe1_x`,
    ])
  })

  test('keep the pin with which the hub told to fetch the script', () => {
    const told = `curl -fsSLk --pinnedpubkey 'sha256//AbC=' ${hub}/install.sh | sudo sh -s -- --hub ${hub} --token wfe1_x`
    const install = installOf(hub, 'wfe1_x', told)
    expect(install.command).toBe(told)
    expect(install.cloudInit).toContain(`--pinnedpubkey ''sha256//AbC='' ${hub}/install.sh | sh -s -- --hub`)
    expect(install.compose).toContain('--container >compose.yaml')
  })
})

describe('what is typed into a token’s terms', () => {
  test('is a list between commas, blanks and line breaks', () => {
    expect(listOf(' 10.0.0.0/8, 192.168.0.0/16\n::1/128 ')).toEqual(['10.0.0.0/8', '192.168.0.0/16', '::1/128'])
  })

  test('is labels, or wrong as a whole', () => {
    expect(labelsOf('site=fra rack=a=b')).toEqual({ site: 'fra', rack: 'a=b' })
    expect(labelsOf('')).toEqual({})
    expect(labelsOf('site=fra nonsense')).toBeNull()
    expect(labelsOf('=x')).toBeNull()
  })
})

test('a fingerprint is shown in groups of four', () => {
  expect(grouped('abcdefghij')).toBe('abcd efgh ij')
})
