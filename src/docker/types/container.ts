import type { Some } from './partial.ts'

export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead'

/** One container of a list. */
export type ContainerSummary = {
  Id: string
  /** With a leading slash each. */
  Names: string[]
  Image: string
  ImageID: string
  /** Since API 1.48. */
  ImageManifestDescriptor?: Descriptor
  Command: string
  /** Unix seconds. */
  Created: number
  Ports: PortSummary[]
  /** Bytes; only with `size`. */
  SizeRw?: number
  /** Bytes; only with `size`. */
  SizeRootFs?: number
  Labels: Record<string, string>
  State: ContainerState
  /** For people, e.g. `Up 3 minutes (healthy)`. */
  Status: string
  HostConfig: { NetworkMode: string; Annotations?: Record<string, string> | null }
  /** Since API 1.52. */
  Health?: { Status: HealthStatus; FailingStreak: number }
  NetworkSettings: { Networks: Record<string, EndpointSettings> | null } | null
  Mounts: MountPoint[]
}

export type PortSummary = { IP?: string; PrivatePort: number; PublicPort?: number; Type: 'tcp' | 'udp' | 'sctp' }

export type HealthStatus = 'none' | 'starting' | 'healthy' | 'unhealthy'

export type MountPoint = {
  Type: string
  Name?: string
  Source: string
  Destination: string
  Driver?: string
  Mode: string
  RW: boolean
  Propagation: string
}

/** What a container is made from. */
export type ContainerConfig = ContainerSettings &
  Some<{
    HostConfig: HostConfig
    NetworkingConfig: { EndpointsConfig?: Record<string, EndpointConfig> | undefined }
  }>

/** The part of a container's configuration that an image may also carry. */
export type ContainerSettings = Some<{
  Hostname: string
  Domainname: string
  /** `user`, `uid`, `user:group`, … */
  User: string
  AttachStdin: boolean
  AttachStdout: boolean
  AttachStderr: boolean
  /** `{ '80/tcp': {} }` */
  ExposedPorts: Record<string, Record<string, never>> | null
  Tty: boolean
  OpenStdin: boolean
  StdinOnce: boolean
  /** `KEY=value`; `KEY` alone takes an image's variable away. */
  Env: string[] | null
  Cmd: string[] | null
  Healthcheck: HealthConfig | null
  ArgsEscaped: boolean
  /** Name or id of the image. */
  Image: string
  Volumes: Record<string, Record<string, never>> | null
  WorkingDir: string
  Entrypoint: string[] | string | null
  NetworkDisabled: boolean
  /** Since API 1.44 use the endpoint's `MacAddress`. */
  MacAddress: string
  OnBuild: string[] | null
  Labels: Record<string, string> | null
  StopSignal: string
  /** Seconds. */
  StopTimeout: number | null
  Shell: string[] | null
}>

export type HealthConfig = Some<{
  /** `['NONE']`, `['CMD', …]` or `['CMD-SHELL', command]`; empty: the image's. */
  Test: string[]
  /** Nanoseconds, as all times here; 0: the image's, else 30 s. */
  Interval: number
  Timeout: number
  Retries: number
  StartPeriod: number
  /** Since API 1.44. */
  StartInterval: number
}>

export type RestartPolicy = { Name: '' | 'no' | 'always' | 'unless-stopped' | 'on-failure'; MaximumRetryCount?: number }

export type PortBinding = { HostIp?: string; HostPort?: string }

/** Limits; what `update` can change. */
export type Resources = Some<{
  CpuShares: number
  /** Bytes. */
  Memory: number
  CgroupParent: string
  BlkioWeight: number
  BlkioWeightDevice: { Path: string; Weight: number }[] | null
  BlkioDeviceReadBps: ThrottleDevice[] | null
  BlkioDeviceWriteBps: ThrottleDevice[] | null
  BlkioDeviceReadIOps: ThrottleDevice[] | null
  BlkioDeviceWriteIOps: ThrottleDevice[] | null
  CpuPeriod: number
  CpuQuota: number
  CpuRealtimePeriod: number
  CpuRealtimeRuntime: number
  CpusetCpus: string
  CpusetMems: string
  Devices: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[] | null
  DeviceCgroupRules: string[] | null
  DeviceRequests: DeviceRequest[] | null
  /** Until API 1.51. */
  KernelMemoryTCP: number
  /** Bytes. */
  MemoryReservation: number
  /** Bytes of memory and swap together; -1: no limit. */
  MemorySwap: number
  MemorySwappiness: number | null
  /** CPUs × 1e9. */
  NanoCpus: number
  OomKillDisable: boolean | null
  Init: boolean | null
  PidsLimit: number | null
  Ulimits: { Name: string; Soft: number; Hard: number }[] | null
  CpuCount: number
  CpuPercent: number
  IOMaximumIOps: number
  IOMaximumBandwidth: number
}>

export type ThrottleDevice = { Path: string; Rate: number }

export type DeviceRequest = Some<{
  Driver: string
  Count: number
  DeviceIDs: string[] | null
  Capabilities: string[][] | null
  Options: Record<string, string> | null
}>

export type HostConfig = Resources &
  Some<{
    /** `host-or-volume:path[:options]` */
    Binds: string[] | null
    ContainerIDFile: string
    LogConfig: { Type: string; Config?: Record<string, string> | null }
    /** `bridge`, `host`, `none`, `container:ID` or a network's name. */
    NetworkMode: string
    /** `{ '80/tcp': [{ HostPort: '8080' }] }` */
    PortBindings: Record<string, PortBinding[] | null> | null
    RestartPolicy: RestartPolicy
    AutoRemove: boolean
    VolumeDriver: string
    VolumesFrom: string[] | null
    Mounts: Mount[] | null
    /** Rows and columns. */
    ConsoleSize: [number, number] | null
    /** Since API 1.43. */
    Annotations: Record<string, string> | null
    CapAdd: string[] | null
    CapDrop: string[] | null
    CgroupnsMode: 'private' | 'host' | ''
    Dns: string[] | null
    DnsOptions: string[] | null
    DnsSearch: string[] | null
    ExtraHosts: string[] | null
    GroupAdd: string[] | null
    IpcMode: string
    Cgroup: string
    Links: string[] | null
    OomScoreAdj: number
    PidMode: string
    Privileged: boolean
    PublishAllPorts: boolean
    ReadonlyRootfs: boolean
    SecurityOpt: string[] | null
    StorageOpt: Record<string, string> | null
    Tmpfs: Record<string, string> | null
    UTSMode: string
    UsernsMode: string
    /** Bytes. */
    ShmSize: number
    Sysctls: Record<string, string> | null
    Runtime: string
    Isolation: string
    MaskedPaths: string[] | null
    ReadonlyPaths: string[] | null
  }>

export type Mount = Some<{
  Target: string
  Source: string
  /** `image` since API 1.48. */
  Type: 'bind' | 'volume' | 'tmpfs' | 'npipe' | 'cluster' | 'image'
  ReadOnly: boolean
  Consistency: string
  BindOptions: Some<{
    Propagation: string
    NonRecursive: boolean
    /** Since API 1.42. */
    CreateMountpoint: boolean
    /** Since API 1.44. */
    ReadOnlyNonRecursive: boolean
    /** Since API 1.44. */
    ReadOnlyForceRecursive: boolean
  }>
  VolumeOptions: Some<{
    NoCopy: boolean
    Labels: Record<string, string>
    DriverConfig: { Name?: string; Options?: Record<string, string> }
    /** Since API 1.45. */
    Subpath: string
  }>
  /** Since API 1.48. */
  ImageOptions: { Subpath?: string }
  /** `Options` since API 1.46. */
  TmpfsOptions: Some<{ SizeBytes: number; Mode: number; Options: string[][] }>
}>

/** How a container takes part in a network. */
export type EndpointConfig = Some<{
  IPAMConfig: Some<{ IPv4Address: string; IPv6Address: string; LinkLocalIPs: string[] }> | null
  Links: string[] | null
  Aliases: string[] | null
  MacAddress: string
  DriverOpts: Record<string, string> | null
  /** Since API 1.48: the highest gives the default route. */
  GwPriority: number
}>

export type EndpointSettings = {
  IPAMConfig: EndpointConfig['IPAMConfig']
  Links: string[] | null
  Aliases: string[] | null
  MacAddress: string
  DriverOpts: Record<string, string> | null
  GwPriority?: number
  NetworkID: string
  EndpointID: string
  Gateway: string
  IPAddress: string
  IPPrefixLen: number
  IPv6Gateway: string
  GlobalIPv6Address: string
  GlobalIPv6PrefixLen: number
  /** Since API 1.44. */
  DNSNames?: string[] | null
}

export type ContainerInspect = {
  Id: string
  Created: string
  Path: string
  Args: string[]
  State: {
    Status: ContainerState
    Running: boolean
    Paused: boolean
    Restarting: boolean
    OOMKilled: boolean
    Dead: boolean
    /** 0 when it does not run. */
    Pid: number
    ExitCode: number
    Error: string
    StartedAt: string
    FinishedAt: string
    Health?: ContainerHealth
  }
  /** The image's id. */
  Image: string
  ResolvConfPath: string
  HostnamePath: string
  HostsPath: string
  LogPath: string
  /** With a leading slash. */
  Name: string
  RestartCount: number
  Driver: string
  Platform: string
  /** Since API 1.48. */
  ImageManifestDescriptor?: Descriptor
  MountLabel: string
  ProcessLabel: string
  AppArmorProfile: string
  ExecIDs: string[] | null
  HostConfig: HostConfig & { NetworkMode: string; RestartPolicy: RestartPolicy }
  GraphDriver?: { Name: string; Data: Record<string, string> | null }
  /** Since API 1.52, with the containerd image store. */
  Storage?: { RootFS?: { Snapshot?: { Name: string } | null } | null }
  /** Bytes; only with `size`. */
  SizeRw?: number
  /** Bytes; only with `size`. */
  SizeRootFs?: number
  Mounts: MountPoint[]
  Config: ContainerSettings & {
    Image: string
    Labels: Record<string, string> | null
    Env: string[] | null
    Tty: boolean
  }
  NetworkSettings: {
    SandboxID: string
    SandboxKey: string
    Ports: Record<string, PortBinding[] | null> | null
    Networks: Record<string, EndpointSettings>
  }
}

export type ContainerHealth = {
  Status: HealthStatus
  FailingStreak: number
  Log: { Start: string; End: string; ExitCode: number; Output: string }[] | null
}

/** Points at something in a registry or content store. */
export type Descriptor = {
  mediaType: string
  digest: string
  size: number
  urls?: string[] | null
  annotations?: Record<string, string> | null
  data?: string | null
  platform?: Platform
  artifactType?: string | null
}

export type Platform = {
  architecture: string
  os: string
  'os.version'?: string
  'os.features'?: string[]
  variant?: string
}

/** How a container ended. */
export type ContainerExit = { StatusCode: number; Error?: { Message: string } | null }

export type ContainerUpdate = Resources & Some<{ RestartPolicy: RestartPolicy }>

/** A path that differs from the image. `Kind`: 0 changed, 1 added, 2 deleted. */
export type FilesystemChange = { Path: string; Kind: 0 | 1 | 2 }

/** `ps` in a container: the names of the columns, and one row per process. */
export type ContainerTop = { Titles: string[]; Processes: string[][] | null }

/** A file or directory in a container. */
export type PathStat = {
  name: string
  /** Bytes. */
  size: number
  /** Go's file mode: the low nine bits are the permissions, bit 31 a directory, bit 27 a symlink. */
  mode: number
  mtime: string
  linkTarget: string
}

/** One measurement of what a container uses. Counters count from its start. */
export type ContainerStats = {
  id?: string
  name?: string
  /** Since API 1.52. */
  os_type?: string
  read: string
  preread: string
  cpu_stats: CpuStats
  /** The measurement before; empty with `oneShot`. */
  precpu_stats: CpuStats
  /** Bytes. */
  memory_stats: {
    usage?: number
    max_usage?: number
    limit?: number
    stats?: Record<string, number>
    failcnt?: number
    commitbytes?: number
    commitpeakbytes?: number
    privateworkingset?: number
  }
  networks?: Record<string, NetworkStats>
  pids_stats: { current?: number; limit?: number }
  blkio_stats: Record<string, BlkioStat[] | null>
  num_procs: number
  storage_stats: {
    read_count_normalized?: number
    read_size_bytes?: number
    write_count_normalized?: number
    write_size_bytes?: number
  }
}

/** Nanoseconds. */
export type CpuStats = {
  cpu_usage: { total_usage: number; percpu_usage?: number[]; usage_in_kernelmode: number; usage_in_usermode: number }
  system_cpu_usage?: number
  online_cpus?: number
  throttling_data: { periods: number; throttled_periods: number; throttled_time: number }
}

export type BlkioStat = { major: number; minor: number; op: string; value: number }

export type NetworkStats = {
  rx_bytes: number
  rx_packets: number
  rx_errors: number
  rx_dropped: number
  tx_bytes: number
  tx_packets: number
  tx_errors: number
  tx_dropped: number
  endpoint_id?: string
  instance_id?: string
}
