/** The commands that bring an agent onto a host. */
import type { MintedToken } from '@/api/types'

export interface Install {
  /** One command to paste on the host. */
  command: string
  /** The same with the script read in between. */
  steps: string
  /** User data of a new cloud machine. */
  cloudInit: string
  /** For hosts where the agent shall be a container. */
  compose: string
}

/** What the hub says with a new token: only it knows the digest by which its script is recognised. */
interface Told {
  hub_url?: string
  script_fetch?: string
  install_command?: string
}

const SCRIPT = 'windflow-install.sh'

/** @param origin the hub's address as this browser reaches it */
export function installOf(token: MintedToken & Told, origin: string): Install {
  const hub = token.hub_url ?? origin
  const fetch = token.script_fetch ?? `curl -fsSL -o ${SCRIPT} ${hub}/install.sh`
  const install = [`sudo sh ${SCRIPT} --hub ${hub} --token-stdin <<'TOKEN'`, token.token, 'TOKEN']
  return {
    command: (token.install_command ?? `curl -fsSL ${hub}/install.sh | sudo sh -s -- --hub ${hub} --token ${token.token}`).trim(),
    steps: [fetch, `less ${SCRIPT}`, ...install].join('\n'),
    cloudInit: cloudInit(hub, fetch, token.token),
    compose: compose(hub, token.token),
  }
}

function cloudInit(hub: string, fetch: string, token: string): string {
  return `#cloud-config
write_files:
  - path: /run/windflow-token
    permissions: '0600'
    content: ${token}
runcmd:
  - |
    cd /run &&
    ${fetch.replaceAll('\n', '\n    ')} &&
    sh ${SCRIPT} --hub ${hub} --token-file /run/windflow-token --wait 600
`
}

function compose(hub: string, token: string): string {
  return `services:
  windflow-agent:
    image: windflow-agent
    restart: unless-stopped
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    command: ["run", "--state-dir", "/state", "--hub", "${hub}", "--token-file", "/run/windflow-token"]
    configs:
      - source: token
        target: /run/windflow-token
        mode: 0400
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock
      # The host's identity. Without this volume each new container is a new host.
      - state:/state
configs:
  token:
    content: ${token}
volumes:
  state:
`
}
