import type { HealthConfig, Mount } from './container.ts'
import type { Some } from './partial.ts'
import type { PluginPrivilege } from './plugin.ts'

/** Which state of an object one has seen; an update must name the one it changes. */
export type ObjectVersion = { Index: number }

type SwarmObject<Spec> = {
  ID: string
  Version: ObjectVersion
  CreatedAt: string
  UpdatedAt: string
  Spec: Spec
}

export type Driver = { Name: string; Options?: Record<string, string> | undefined }

export type SecretSpec = Some<{
  Name: string
  Labels: Record<string, string>
  /** Base64, at most 500 kB. Not in answers. */
  Data: string
  Driver: Driver
  Templating: Driver
}>
export type Secret = SwarmObject<SecretSpec>

export type ConfigSpec = Some<{
  Name: string
  Labels: Record<string, string>
  /** Base64, at most 1 MB. */
  Data: string
  Templating: Driver
}>
export type Config = SwarmObject<ConfigSpec>

export type NodeSpec = Some<{
  Name: string
  Labels: Record<string, string>
  Role: 'worker' | 'manager'
  Availability: 'active' | 'pause' | 'drain'
}>

export type Node = SwarmObject<NodeSpec> & {
  Description: {
    Hostname: string
    Platform: { Architecture: string; OS: string }
    Resources: ResourceObject
    Engine: { EngineVersion: string; Labels?: Record<string, string>; Plugins?: { Type: string; Name: string }[] }
    TLSInfo: TlsInfo
  }
  Status: { State: 'unknown' | 'down' | 'ready' | 'disconnected'; Message?: string; Addr: string }
  ManagerStatus?: { Leader?: boolean; Reachability: 'unknown' | 'unreachable' | 'reachable'; Addr: string }
}

export type TlsInfo = { TrustRoot: string; CertIssuerSubject: string; CertIssuerPublicKey: string }

export type SwarmSpec = Some<{
  Name: string
  Labels: Record<string, string>
  Orchestration: Some<{ TaskHistoryRetentionLimit: number }>
  Raft: Some<{
    SnapshotInterval: number
    KeepOldSnapshots: number
    LogEntriesForSlowFollowers: number
    ElectionTick: number
    HeartbeatTick: number
  }>
  /** Nanoseconds. */
  Dispatcher: Some<{ HeartbeatPeriod: number }>
  CAConfig: Some<{
    /** Nanoseconds. */
    NodeCertExpiry: number
    ExternalCAs: { Protocol: 'cfssl'; URL: string; Options?: Record<string, string>; CACert?: string }[]
    SigningCACert: string
    SigningCAKey: string
    ForceRotate: number
  }>
  EncryptionConfig: Some<{ AutoLockManagers: boolean }>
  TaskDefaults: Some<{ LogDriver: Driver }>
}>

export type Cluster = SwarmObject<SwarmSpec> & {
  TLSInfo: TlsInfo
  RootRotationInProgress: boolean
  DataPathPort: number
  DefaultAddrPool: string[] | null
  SubnetSize: number
}

export type Swarm = Cluster & { JoinTokens: { Worker: string; Manager: string } }

export type SwarmInitRequest = Some<{
  /** `address:port` or `interface:port`. */
  ListenAddr: string
  AdvertiseAddr: string
  DataPathAddr: string
  DataPathPort: number
  DefaultAddrPool: string[]
  ForceNewCluster: boolean
  SubnetSize: number
  Spec: SwarmSpec
}>

export type SwarmJoinRequest = { ListenAddr: string; RemoteAddrs: string[]; JoinToken: string } & Some<{
  AdvertiseAddr: string
  DataPathAddr: string
}>

export type GenericResource =
  | { NamedResourceSpec: { Kind: string; Value: string } }
  | { DiscreteResourceSpec: { Kind: string; Value: number } }

export type ResourceObject = Some<{
  /** CPUs × 1e9. */
  NanoCPUs: number
  MemoryBytes: number
  GenericResources: GenericResource[]
}>

export type NetworkAttachmentConfig = Some<{ Target: string; Aliases: string[]; DriverOpts: Record<string, string> }>

type SwarmFile = Some<{ Name: string; UID: string; GID: string; Mode: number }>

export type SwarmContainerSpec = Some<{
  Image: string
  Labels: Record<string, string>
  Command: string[]
  Args: string[]
  Hostname: string
  Env: string[]
  Dir: string
  User: string
  Groups: string[]
  Privileges: Some<{
    CredentialSpec: Some<{ Config: string; File: string; Registry: string }>
    SELinuxContext: Some<{ Disable: boolean; User: string; Role: string; Type: string; Level: string }>
    /** Since API 1.44. */
    Seccomp: { Mode: 'default' | 'unconfined' | 'custom'; Profile?: string }
    /** Since API 1.44. */
    AppArmor: { Mode: 'default' | 'disabled' }
    /** Since API 1.44. */
    NoNewPrivileges: boolean
  }>
  TTY: boolean
  OpenStdin: boolean
  ReadOnly: boolean
  Mounts: Mount[]
  StopSignal: string
  /** Nanoseconds. */
  StopGracePeriod: number
  HealthCheck: HealthConfig
  Hosts: string[]
  DNSConfig: Some<{ Nameservers: string[]; Search: string[]; Options: string[] }>
  Secrets: Some<{ File: SwarmFile; SecretID: string; SecretName: string }>[]
  /** Since API 1.46. */
  OomScoreAdj: number
  Configs: Some<{ File: SwarmFile; Runtime: Record<string, never>; ConfigID: string; ConfigName: string }>[]
  Isolation: 'default' | 'process' | 'hyperv' | ''
  Init: boolean | null
  Sysctls: Record<string, string>
  CapabilityAdd: string[]
  CapabilityDrop: string[]
  Ulimits: { Name: string; Soft: number; Hard: number }[]
}>

export type TaskSpec = Some<{
  PluginSpec: Some<{ Name: string; Remote: string; Disabled: boolean; PluginPrivilege: PluginPrivilege[] }>
  ContainerSpec: SwarmContainerSpec
  NetworkAttachmentSpec: { ContainerID: string }
  Resources: Some<{
    Limits: Some<{ NanoCPUs: number; MemoryBytes: number; Pids: number }>
    Reservations: ResourceObject
    /** Since API 1.52. */
    SwapBytes: number | null
    /** Since API 1.52. */
    MemorySwappiness: number | null
  }>
  /** Times in nanoseconds. */
  RestartPolicy: Some<{ Condition: 'none' | 'on-failure' | 'any'; Delay: number; MaxAttempts: number; Window: number }>
  Placement: Some<{
    Constraints: string[]
    Preferences: { Spread: { SpreadDescriptor: string } }[]
    MaxReplicas: number
    Platforms: Some<{ Architecture: string; OS: string }>[]
  }>
  ForceUpdate: number
  Runtime: string
  Networks: NetworkAttachmentConfig[]
  LogDriver: Driver
}>

/** Times in nanoseconds. */
export type UpdateConfig = Some<{
  Parallelism: number
  Delay: number
  /** `rollback` only for updates. */
  FailureAction: 'continue' | 'pause' | 'rollback'
  Monitor: number
  MaxFailureRatio: number
  Order: 'stop-first' | 'start-first'
}>

export type EndpointPortConfig = Some<{
  Name: string
  Protocol: 'tcp' | 'udp' | 'sctp'
  TargetPort: number
  PublishedPort: number
  PublishMode: 'ingress' | 'host'
}>

export type EndpointSpec = Some<{ Mode: 'vip' | 'dnsrr'; Ports: EndpointPortConfig[] }>

export type ServiceSpec = Some<{
  Name: string
  Labels: Record<string, string>
  TaskTemplate: TaskSpec
  Mode: Some<{
    Replicated: Some<{ Replicas: number }>
    Global: Record<string, never>
    ReplicatedJob: Some<{ MaxConcurrent: number; TotalCompletions: number }>
    GlobalJob: Record<string, never>
  }>
  UpdateConfig: UpdateConfig
  RollbackConfig: UpdateConfig
  /** Since API 1.44 use `TaskTemplate.Networks`. */
  Networks: NetworkAttachmentConfig[]
  EndpointSpec: EndpointSpec
}>

export type Service = SwarmObject<ServiceSpec> & {
  PreviousSpec?: ServiceSpec
  Endpoint: {
    Spec?: EndpointSpec
    Ports?: EndpointPortConfig[]
    VirtualIPs?: { NetworkID: string; Addr: string }[]
  }
  UpdateStatus?: { State: string; StartedAt?: string; CompletedAt?: string; Message: string }
  /** Only with `status`. */
  ServiceStatus?: { RunningTasks: number; DesiredTasks: number; CompletedTasks: number }
  JobStatus?: { JobIteration: ObjectVersion; LastExecution?: string }
}

export type TaskState =
  | 'new'
  | 'allocated'
  | 'pending'
  | 'assigned'
  | 'accepted'
  | 'preparing'
  | 'ready'
  | 'starting'
  | 'running'
  | 'complete'
  | 'shutdown'
  | 'failed'
  | 'rejected'
  | 'remove'
  | 'orphaned'

export type Task = SwarmObject<TaskSpec> & {
  Name?: string
  Labels: Record<string, string> | null
  ServiceID: string
  Slot?: number
  NodeID: string
  AssignedGenericResources?: GenericResource[]
  Status: {
    Timestamp: string
    State: TaskState
    Message: string
    Err?: string
    ContainerStatus?: { ContainerID: string; PID: number; ExitCode: number }
    PortStatus?: { Ports?: EndpointPortConfig[] }
  }
  DesiredState: TaskState
  JobIteration?: ObjectVersion
  NetworksAttachments?: { Network: unknown; Addresses: string[] }[]
}
