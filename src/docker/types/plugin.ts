export type PluginPrivilege = { Name: string; Description: string; Value: string[] }

export type PluginMount = {
  Name: string
  Description: string
  Settable: string[] | null
  Source: string
  Destination: string
  Type: string
  Options: string[]
}

export type PluginDevice = { Name: string; Description: string; Settable: string[] | null; Path: string }

export type PluginEnv = { Name: string; Description: string; Settable: string[] | null; Value: string }

export type Plugin = {
  Id: string
  Name: string
  Enabled: boolean
  Settings: { Mounts: PluginMount[]; Env: string[]; Args: string[]; Devices: PluginDevice[] }
  PluginReference?: string
  Config: {
    Description: string
    Documentation: string
    Interface: { Types: unknown[]; Socket: string; ProtocolScheme?: string }
    Entrypoint: string[]
    WorkDir: string
    User?: { UID?: number; GID?: number }
    Network: { Type: string }
    Linux: { Capabilities: string[] | null; AllowAllDevices: boolean; Devices: PluginDevice[] | null }
    PropagatedMount: string
    IpcHost: boolean
    PidHost: boolean
    Mounts: PluginMount[] | null
    Env: PluginEnv[] | null
    Args: { Name: string; Description: string; Settable: string[] | null; Value: string[] | null }
    rootfs?: { type: string; diff_ids: string[] }
  }
}
