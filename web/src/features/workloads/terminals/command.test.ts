import { expect, test } from 'vitest'

import { commandParts, variables } from './command'

test('a command line is split as a shell splits it', () => {
  expect(commandParts('top -b  -n 1')).toEqual(['top', '-b', '-n', '1'])
  expect(commandParts(`sh -c 'echo "a  b"'`)).toEqual(['sh', '-c', 'echo "a  b"'])
  expect(commandParts(String.raw`echo "a\"b" c\ d '' "\n"`)).toEqual(['echo', 'a"b', 'c d', '', String.raw`\n`])
  expect(commandParts(`a"b c"d`)).toEqual(['ab cd'])
})

test('what names no program or leaves a quote open is no command', () => {
  for (const line of ['', '  ', `sh -c 'x`, '"', "''"]) expect(commandParts(line), line).toBeNull()
})

test('variables are one in each line', () => {
  expect(variables('A=1\n\nB=x = y\r\n')).toEqual(['A=1', 'B=x = y'])
  expect(variables('')).toEqual([])
  for (const text of ['A', '=1', 'A=1\nB']) expect(variables(text), text).toBeNull()
})
