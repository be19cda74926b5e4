// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from 'vitest'

import { announceRenewal, confirming, onConfirmationRequired, withPresentCookie } from './confirmation'

const URL = 'https://hub.example/api/v1/api-tokens'

function required(): Response {
  return Response.json({ error: { code: 'confirmation_required', message: 'Confirm first.' } }, { status: 403 })
}

/** Answers one after another; what was sent stands in `bodies`. */
function hub(...answers: Response[]) {
  const bodies: string[] = []
  const send = vi.fn(async (request: Request) => {
    bodies.push(await request.text())
    return answers.shift() ?? new Response('none left', { status: 500 })
  })
  return { send, bodies }
}

function post(body = '{"name":"x"}'): Request {
  return new Request(URL, { method: 'POST', body })
}

afterEach(() => {
  vi.useRealTimers()
})

test('what was refused is sent again, once, as it was', async () => {
  const { send, bodies } = hub(required(), new Response('made', { status: 201 }))
  const ask = vi.fn(() => Promise.resolve(true))
  onConfirmationRequired(ask)
  const answer = await confirming(post(), send)
  expect(answer.status).toBe(201)
  expect(bodies).toEqual(['{"name":"x"}', '{"name":"x"}'])
  expect(ask).toHaveBeenCalledTimes(1)
})

test('what is refused twice is refused', async () => {
  const { send } = hub(required(), required(), new Response('never'))
  const ask = vi.fn(() => Promise.resolve(true))
  onConfirmationRequired(ask)
  expect((await confirming(post(), send)).status).toBe(403)
  expect(send).toHaveBeenCalledTimes(2)
  expect(ask).toHaveBeenCalledTimes(1)
})

test('what is given up stays refused, and can still be read', async () => {
  const { send } = hub(required())
  onConfirmationRequired(() => Promise.resolve(false))
  const answer = await confirming(post(), send)
  expect(await answer.json()).toMatchObject({ error: { code: 'confirmation_required' } })
  expect(send).toHaveBeenCalledTimes(1)
})

test('people are asked once for all that waits for it', async () => {
  let confirm: (confirmed: boolean) => void = () => undefined
  const ask = vi.fn(
    () =>
      new Promise<boolean>((resolve) => {
        confirm = resolve
      }),
  )
  onConfirmationRequired(ask)
  const one = hub(required(), new Response('one'))
  const two = hub(required(), new Response('two'))
  const both = Promise.all([confirming(post(), one.send), confirming(new Request(URL), two.send)])
  await vi.waitFor(() => {
    expect(ask).toHaveBeenCalled()
    expect(one.bodies.length + two.bodies.length).toBe(2)
  })
  await new Promise((resolve) => setTimeout(resolve, 10))
  confirm(true)
  expect(await Promise.all((await both).map((answer) => answer.text()))).toEqual(['one', 'two'])
  expect(ask).toHaveBeenCalledTimes(1)
})

test('other refusals ask for nothing', async () => {
  const ask = vi.fn(() => Promise.resolve(true))
  onConfirmationRequired(ask)
  const others = [
    Response.json({ error: { code: 'not_permitted', message: '' } }, { status: 403 }),
    Response.json({ error: { code: 'confirmation_required', message: '' } }, { status: 401 }),
    new Response('<html>', { status: 403 }),
    Response.json(null, { status: 403 }),
  ]
  for (const other of others) expect(await confirming(post(), hub(other).send)).toBe(other)
  expect(ask).not.toHaveBeenCalled()
})

test('what read with the cookie of before is read again with the present one, while it is replaced', async () => {
  vi.useFakeTimers()
  const gone = () => new Response('', { status: 401 })
  const before = hub(gone(), new Response('good'))
  expect((await withPresentCookie(new Request(URL), before.send)).status).toBe(401)
  expect(before.send).toHaveBeenCalledTimes(1)

  announceRenewal()
  const writes = hub(gone(), new Response('good'))
  expect((await withPresentCookie(post(), writes.send)).status).toBe(401)
  const during = hub(gone(), new Response('good'))
  const pending = withPresentCookie(new Request(URL), during.send)
  await vi.advanceTimersByTimeAsync(500)
  expect(await (await pending).text()).toBe('good')

  await vi.advanceTimersByTimeAsync(10_000)
  const after = hub(gone(), new Response('good'))
  expect((await withPresentCookie(new Request(URL), after.send)).status).toBe(401)
})
