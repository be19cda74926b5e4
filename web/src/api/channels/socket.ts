/** A WebSocket to the hub that this page came from.
 *  What is said while it closes goes nowhere, and is no mistake: whoever speaks hears of the end by `onclose`, and says on
 *  the next connection what still counts. */
export function dialHub(path: string): WebSocket {
  const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}${path}`)
  const send = socket.send.bind(socket)
  socket.send = (data) => {
    if (socket.readyState === WebSocket.OPEN) send(data)
  }
  return socket
}
