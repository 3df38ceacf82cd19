/** Where an engine is and how to get there. */
export type Endpoint =
  | { kind: 'unix'; path: string }
  | { kind: 'tcp'; host: string; port: number; tls?: TlsMaterial | undefined }
  | { kind: 'ssh'; user?: string | undefined; host: string; port?: number | undefined; path?: string | undefined }

/** PEM texts. `verify: false` takes any certificate of the engine. */
export type TlsMaterial = {
  ca?: string | undefined
  cert?: string | undefined
  key?: string | undefined
  verify?: boolean | undefined
  serverName?: string | undefined
}

/** The endpoint as one writes it in `DOCKER_HOST`. */
export function formatEndpoint(endpoint: Endpoint): string {
  switch (endpoint.kind) {
    case 'unix':
      return `unix://${endpoint.path}`
    case 'tcp':
      return `tcp://${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`
    case 'ssh': {
      const user = endpoint.user === undefined ? '' : `${endpoint.user}@`
      return `ssh://${user}${endpoint.host}${endpoint.port === undefined ? '' : `:${endpoint.port}`}${endpoint.path ?? ''}`
    }
  }
}
