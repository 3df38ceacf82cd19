import type { AuthConfig, Docker } from '../docker/index.ts'
import type { Router } from '../router/router.ts'
import type { HomeRules } from '../service/home.ts'
import type { Reserved } from '../service/reserved.ts'
import type { Mount, ServiceSpec } from '../service/spec.ts'
import type { LimitedBuild } from './build-limits.ts'
import type { Hardening } from './container.ts'
import type { SecretsFrom } from './secret-rights.ts'

/** What a key's builds are held to. */
export type BuildTerms = Readonly<{
  /** The images that a build may use, under any of their names; all unless given. Held against the builder's own word. */
  images?: readonly string[]
  /** From where the builder may download (`ADD`) by https, where `images` is given; from nowhere unless given. */
  downloadHosts?: readonly string[]
  /** What a build may take of the engine's disk; any amount unless given. */
  diskBytes?: number
  /** What looks after the build already, since before its images were pulled; it is closed when the build is over. */
  open?: LimitedBuild
  /** What its commands made is used again by no build of another service. */
  ownLayers?: boolean
}>

/** The server that services are deployed to, as a deploy sees it. `src/server` makes it from the config. */
export type Host = Readonly<{
  /** This server's own id; containers and images that carry another are never touched. */
  server: string
  /** `~/_mypaas`. */
  directory: string
  /** Where `~/x` of a volume lies, links followed. */
  home: string
  /** What may be mounted of it. */
  homeRules: HomeRules
  /** What names of containers and images begin with: empty, or `INSTANCE-`. */
  prefix: string
  /** The network on which services find each other. */
  network: string
  docker: Docker
  router: Router
  volumeRoots: readonly string[]
  /** Containers of others, by name, whose mounts are no danger to those of services. */
  trustedContainers: readonly string[]
  /** The volumes that a service may mount although mypaas did not make them for it. */
  foreignVolumes: (service: string) => readonly string[]
  /** Whether what a service mounts inside its directories may be seen on the machine, too (`shared`). */
  maySharePropagation: (service: string) => boolean
  /** Ports and the host that no service gets. */
  reserved: Reserved
  /**
   * Refuses a release with what whoever asks may not have run, asked each time before one is run, whoever deployed it;
   * absent for those who may have all of it run. It comes under the service's lock: what is current stays so.
   * @throws {MypaasError} `unauthorised`
   */
  permit?: (spec: ServiceSpec) => Promise<void>
  /** Whether whoever asks may have a release of a service mount that; absent for those who may have all of it run. */
  mayMount?: (service: string, mount: Mount) => Promise<boolean>
  startTimeoutMs: number
  drainMs: number
  holdDrainMs: number
  graceMs: number
  /** For one call to the engine that neither builds nor stops; {@link docker} has it as its default. */
  engineTimeoutMs: number
  buildSilenceMs: number
  /** How long a build may take in all. */
  buildTimeoutMs: number
  /** What has to stay free of the engine's disk while something is built; 0 for nothing. */
  diskReserveBytes: number
  /** What the builds of the key that wants this are held to; absent for what its owner does on the server. */
  buildTerms?: BuildTerms
  logBytes: number
  /** What containers of a service may not do. */
  hardening: (service: string) => Hardening
  keepReleases: number
  /** Credentials of a registry by its host; `{}` for none; where it is `undefined`, those of `docker login` count. */
  registryAuth: (registry: string) => AuthConfig | undefined
  /** How long a deploy waits for the certificates of new https URLs. */
  certificateWaitMs: number
  /** Of the keyed hashes by which changed secrets are told. */
  markKey: string
  /** Whose secrets whoever asks for something may give to a new release. */
  secretsFrom: SecretsFrom
  /** The secrets that a service may ask for, by name: its own before those of all, or its own alone. */
  secrets: (service: string, from: SecretsFrom) => Readonly<Record<string, string>>
}>
