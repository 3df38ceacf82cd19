export { type Context, readContext } from './context/index.ts'
export { restart, rollback, scale } from './deploy/again.ts'
export { deploy } from './deploy/deploy.ts'
export type { DeployEvent, Emit, FailureReport } from './deploy/events.ts'
export type { Host } from './deploy/host.ts'
export { describe, type Interruption, type Plan, type Step, type Target } from './deploy/plan.ts'
export {
  type Reconciled,
  reconcile,
  reconcileAll,
  removeService,
  startService,
  stopService,
} from './deploy/reconcile.ts'
export type { Released, ReleaseOptions } from './deploy/release.ts'
export { DeployError } from './deploy/why.ts'
export { type ErrorCode, MypaasError } from './errors.ts'
export { parseConfig, type ServerConfig } from './server/config.ts'
export { type OpenServer, openServer } from './server/host.ts'
export { type Initialised, type InitOptions, initServer } from './server/init.ts'
export { parseSpec } from './service/parse.ts'
export { DirectiveError, type Problem } from './service/problems.ts'
export type {
  EnvVariable,
  HealthCheck,
  Mount,
  PublishedPort,
  Rollout,
  ServiceSpec,
  ServiceUrl,
} from './service/spec.ts'
