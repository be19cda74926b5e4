// @vitest-environment happy-dom
import { describe, expect, test } from 'vitest'

import { grouped } from './enrollment'
import { installOf } from './install'
import { labelsOf, listOf } from './tokenTerms'

describe('the install commands', () => {
  const hub = 'https://hub.example:8443'
  const token = { id: 'x', token: 'wfe1_x', expires_at: '', uses: 1, hub_pin: '' }

  test('are made for the address that the browser used', () => {
    const install = installOf(token, hub)
    expect(install.command).toContain(`${hub}/install.sh`)
    expect(install.steps.split('\n')[1]).toBe('less windflow-install.sh')
    expect(install.compose).toContain(`"--hub", "${hub}"`)
  })

  test('are those that the hub told where it did', () => {
    const told = { hub_url: 'https://other.example', script_fetch: 'fetch &&\n  check', install_command: '(fetch && run)\n' }
    const install = installOf({ ...token, ...told }, hub)
    expect(install.command).toBe('(fetch && run)')
    expect(install.steps).toContain('fetch &&\n  check\nless')
    expect(install.cloudInit).toContain('    fetch &&\n      check &&\n    sh windflow-install.sh --hub https://other.example')
  })

  test('never put the token into a list of processes where the script is kept in a file', () => {
    const install = installOf(token, hub)
    for (const text of [install.steps, install.cloudInit, install.compose]) {
      expect(text.split('\n').filter((line) => line.includes('wfe1_x') && line.includes('--hub'))).toEqual([])
    }
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
