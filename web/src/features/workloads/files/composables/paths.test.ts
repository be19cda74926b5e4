import { expect, test } from 'vitest'

import { crumbsOf, isMode, isName, join, nameOf, parentOf } from './paths'

test('a path is put together and taken apart', () => {
  expect([join('/', 'etc'), join('/etc', 'a b')]).toEqual(['/etc', '/etc/a b'])
  expect([parentOf('/etc/hosts'), parentOf('/etc'), parentOf('/')]).toEqual(['/etc', '/', '/'])
  expect(nameOf('/etc/hosts')).toBe('hosts')
  expect(crumbsOf('/srv/my site')).toEqual([
    { name: '/', path: '/' },
    { name: 'srv', path: '/srv' },
    { name: 'my site', path: '/srv/my site' },
  ])
  expect(crumbsOf('/')).toHaveLength(1)
})

test('what is no name or no permissions is told', () => {
  expect(['a', 'a b', '-rf', '..a', '', '.', '..', 'a/b'].map(isName)).toEqual([true, true, true, true, false, false, false, false])
  expect(['644', '0644', '4755', '64', '0888', 'rwx'].map(isMode)).toEqual([true, true, true, false, false, false])
})
