/** Sets one key in TOML text and leaves every other character as a person wrote it. */
export function setKey(text: string, table: string, key: string, value: string): string {
  const lines = text.split('\n')
  const isHeader = (line: string): boolean => /^\s*\[/.test(line)
  const begin = lines.findIndex((line) => line.trim().replaceAll(' ', '') === `[${table}]`)
  if (begin < 0) return `${text.trimEnd()}\n\n[${table}]\n${key} = ${value}\n`
  const rest = lines.slice(begin + 1).findIndex(isHeader)
  const end = rest < 0 ? lines.length : begin + 1 + rest
  const at = lines.findIndex((line, index) => index > begin && index < end && new RegExp(`^\\s*${key}\\s*=`).test(line))
  if (at >= 0) lines[at] = `${key} = ${value}`
  else lines.splice(begin + 1, 0, `${key} = ${value}`)
  return lines.join('\n')
}

/** Takes one key out of TOML text; every other character stays. */
export function unsetKey(text: string, table: string, key: string): string {
  let current = ''
  return text
    .split('\n')
    .filter((line) => {
      const header = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1]
      if (header !== undefined) current = header.replaceAll(' ', '')
      return current !== table || !new RegExp(`^\\s*${key}\\s*=`).test(line)
    })
    .join('\n')
}

/** The text of a new config.toml. */
export function configTemplate(values: {
  instance: string
  bind: string
  httpPort: number
  httpsPort: number
  adminPort: number
  email: string
  domain: string
}): string {
  return `# The settings of this mypaas server. After a change: mypaas server init

[server]
# A name that keeps several mypaas on one machine apart: their containers, images and networks begin with it.
instance = ${JSON.stringify(values.instance)}
# Directories outside the home below which a service may mount host paths, for example ["/srv"].
volume_roots = []
# Places in the home that may be mounted although a name in them begins with a dot, for example ["~/.config/app"].
home_paths = []
# Releases whose images are kept, the current one included.
keep_releases = 5
# How long a new release may take to get ready.
start_timeout = "60s"
# How long open requests of an old release may go on while the new one serves …
drain = "5m"
# … and where everybody waits for them (services without scale).
hold_drain = "5s"
# Between asking a container to stop and killing it.
grace = "10s"
# How long Docker may take for one call, and a build may go on without a word, before a deploy is given up.
engine_timeout = "60s"
build_silence = "10m"
# The size at which a container's log is rotated; three files are kept.
log_size = "10m"
# What containers may not do; see docs/server.md. Each can be set for one service, too, in [services.NAME].
no_new_privileges = true
drop_capabilities = true
pids_limit = 2048
# The host that takes pushes, at https://HOST/daemon/; without one they come by ssh.
domain = ${JSON.stringify(values.domain)}
# Where the daemon listens for the router, on this machine's address of the router's network.
daemon_port = 8083
# What one push may hold, and what the pushes of all services may take on the disk.
push_size = "8g"
push_store = "32g"

[router]
image = "traefik:v3.7.15"
# The address that the public ports are published on; empty for all.
bind = ${JSON.stringify(values.bind)}
http_port = ${values.httpPort}
https_port = ${values.httpsPort}
# The router's own API, on loopback and behind a password that only mypaas knows.
admin_port = ${values.adminPort}
# For certificates of Let's Encrypt; without it https URLs get the router's own certificate.
email = ${JSON.stringify(values.email)}
# How Let's Encrypt sees that a name is this server's: "http" (port 80), "tls" (port 443), or "dns" (for wildcards; then
# dns_provider = "…" and its credentials in [router.dns_env], see docs/server.md).
challenge = "http"
# How long the deploy of a new https URL waits for its certificate.
certificate_wait = "30s"

# Certificates of your own, as often as you like.
# [[router.certificates]]
# cert = "/etc/ssl/example.com.pem"
# key = "/etc/ssl/example.com.key"

# Registries of private images; those that "docker login" knows on this machine need none of this.
# [registries."registry.example.com"]
# username = "…"
# password = "…"

# Values for "# mypaas.env=KEY" of any service …
[env]
# POSTGRES_PASSWORD = "…"

# … and of one service only.
# [services.blog.env]
# API_TOKEN = "…"
`
}

/** The lines in which two texts of a config differ: `- email = ""`, `+ email = "ops@example.com"`. */
export function changedLines(before: string, after: string): readonly string[] {
  const [old, fresh] = [before.split('\n'), after.split('\n')]
  return [
    ...old.filter((line) => !fresh.includes(line)).map((line) => `- ${line.trim()}`),
    ...fresh.filter((line) => !old.includes(line)).map((line) => `+ ${line.trim()}`),
  ]
}
