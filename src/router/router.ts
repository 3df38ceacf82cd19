import type { ServiceUrl } from '../service/spec.ts'
import type { CertifyOptions, NameReport, NameStates } from './certificates.ts'
import type { ServiceRoutes } from './config.ts'
import type { RouterProblem } from './health.ts'

/** What a deploy asks of the router. Traefik is the one in use (`traefik.ts`); tests have a fake. */
export interface Router {
  /** The network on which a replica gets the name that the router uses, once it is ready. */
  readonly gate: string

  /**
   * Makes `routes` those of the service and waits until every new request goes by them.
   * @throws {MypaasError} `failed` when they don't come to life within 20 s, or the router is away for 5 s; then the
   *   previous routes are back
   */
  apply(routes: ServiceRoutes, options?: { signal?: AbortSignal | undefined }): Promise<void>

  /** Takes all routes of the service away and waits until no new request goes by them. */
  remove(service: string, options?: { signal?: AbortSignal | undefined }): Promise<void>

  /** The routes that the service has now. */
  current(service: string): Promise<FoundRoutes>

  /**
   * Writes anew what another version of mypaas wrote for services, where it leads to the same replicas, and waits until
   * every new request goes by it.
   */
  renew(options?: { signal?: AbortSignal | undefined }): Promise<void>

  /**
   * Lets replicas have requests again that were kept out because they were down, where they answer their health check
   * now. A change of any route keeps those out that are down at the time.
   * @returns the services for which something changed
   */
  readmit(options?: { signal?: AbortSignal | undefined }): Promise<readonly string[]>

  /**
   * Sees to the certificates of https names: those that lead here and have none are asked for, those that came are
   * noted. Each name by itself: what is wrong with one keeps no other waiting.
   * @param options.hosts All that are routed, unless given.
   */
  certify(options?: Partial<CertifyOptions>): Promise<readonly NameReport[]>

  /**
   * The replicas that get no requests now because they fail their health check, each asked anew as the router asks it.
   * None while a changeover is on.
   * @throws when the router does not answer
   */
  outOfRotation(): Promise<readonly OutOfRotation[]>

  /** What of the running router is not as its files say. */
  problems(): Promise<readonly RouterProblem[]>

  /** What is known of the certificates of host names, without a look at them. */
  certificates(): Promise<NameStates>

  /**
   * One GET of `url` through the router to a release that may have no traffic yet.
   * @param options.timeoutMs Default 10,000.
   * @returns the status, or the error text of a connection that broke
   */
  probe(service: string, release: number, url: ServiceUrl, options?: AskOptions): Promise<Answer>

  /** One GET of `url` as a user would make it, by the public entry point on this machine. Options as of {@link probe}. */
  request(url: ServiceUrl, options?: AskOptions): Promise<Answer>

  /** The address on the gate network from which the router talks to upstreams; `undefined` when the router is down. */
  address(): Promise<string | undefined>

  /** How users write `url`, with the port where it is not the scheme's own. */
  show(url: ServiceUrl): string
}

export type AskOptions = Readonly<{ signal?: AbortSignal | undefined; timeoutMs?: number }>

/** `undefined` without routes; `unknown` when they were changed by hand, or never confirmed because their writer died. */
export type FoundRoutes = ServiceRoutes | 'unknown' | undefined

/** A replica that the router sends nobody to. */
export type OutOfRotation = Readonly<{
  service: string
  release: number
  /** From 1. */
  replica: number
  /** How many replicas the router knows of the release. */
  of: number
  /** Of the health check. */
  path: string
  answer: Answer
}>

/** What came back: a status, and where it sends to if it does; or why nothing came. */
export type Answer = Readonly<{ status: number; redirect?: Redirect } | { error: string }>

/** `location` as it came. One that sets a cookie may answer otherwise the next time. */
export type Redirect = Readonly<{ location: string; setsCookie: boolean }>
