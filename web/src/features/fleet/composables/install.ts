/** The commands that bring an agent onto a host. */
export interface Install {
  /** One line to paste on the host. */
  command: string
  /** The same in two steps, with the script read in between. */
  steps: string
  /** User data of a new cloud machine. */
  cloudInit: string
  /** For hosts where the agent shall be a container. */
  compose: string
}

/** @param origin the hub's address as this browser reaches it
 *  @param told the hub's own command, which also pins a self-made certificate */
export function installOf(origin: string, token: string, told?: string | null): Install {
  const command = told ?? `curl -fsSL ${origin}/install.sh | sudo sh -s -- --hub ${origin} --token ${token}`
  const { fetch, arguments: args } = partsOf(command) ?? { fetch: `curl -fsSL ${origin}/install.sh`, arguments: `--hub ${origin} --token ${token}` }
  return {
    command,
    steps: [`${fetch} >install.sh`, 'less install.sh', `sudo sh install.sh ${args}`].join('\n'),
    cloudInit: ['#cloud-config', 'runcmd:', `  - ${yaml(`${fetch} | sh -s -- ${args}`)}`].join('\n'),
    compose: [`${fetch} | sh -s -- ${args} --container >compose.yaml`, 'docker compose up --detach'].join('\n'),
  }
}

/** How the script is fetched, and what it is told. */
function partsOf(command: string): { fetch: string; arguments: string } | null {
  const found = /^(.+?)\s*\|\s*(?:sudo )?sh -s -- (.+)$/s.exec(command.trim())
  return found?.[1] && found[2] ? { fetch: found[1], arguments: found[2] } : null
}

function yaml(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
