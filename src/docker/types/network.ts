import type { Some } from './partial.ts'

export type Network = {
  Name: string
  Id: string
  Created: string
  Scope: string
  Driver: string
  /** Since API 1.48. */
  EnableIPv4?: boolean
  EnableIPv6: boolean
  Internal: boolean
  Attachable: boolean
  Ingress: boolean
  ConfigFrom: { Network: string }
  ConfigOnly: boolean
  IPAM: Ipam
  Options: Record<string, string> | null
  Labels: Record<string, string> | null
}

export type NetworkInspect = Network & {
  /** By container id. */
  Containers: Record<string, NetworkContainer>
  /** Only with `verbose`, for swarm networks. */
  Services?: Record<string, { VIP: string; Ports: string[]; LocalLBIndex: number; Tasks: NetworkTask[] }>
  /** Since API 1.52. */
  Status?: { IPAM?: { Subnets?: Record<string, { IPsInUse: number; DynamicIPsAvailable: number }> } }
  Peers?: { Name: string; IP: string }[]
}

export type NetworkTask = { Name: string; EndpointID: string; EndpointIP: string; Info: Record<string, string> }

export type NetworkContainer = {
  Name: string
  EndpointID: string
  MacAddress: string
  IPv4Address: string
  IPv6Address: string
}

export type Ipam = Some<{
  Driver: string
  Config:
    | Some<{ Subnet: string; IPRange: string; Gateway: string; AuxiliaryAddresses: Record<string, string> }>[]
    | null
  Options: Record<string, string> | null
}>

export type NetworkConfig = { Name: string } & Some<{
  /** Default `bridge`. */
  Driver: string
  Scope: string
  /** Refuses a second network of that name; engines from API 1.44 on always do. */
  CheckDuplicate: boolean
  /** No way out of it. */
  Internal: boolean
  Attachable: boolean
  Ingress: boolean
  ConfigOnly: boolean
  ConfigFrom: { Network: string }
  IPAM: Ipam
  /** Since API 1.48. */
  EnableIPv4: boolean
  EnableIPv6: boolean
  Options: Record<string, string>
  Labels: Record<string, string>
}>
