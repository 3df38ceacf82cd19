import type { Some } from './partial.ts'

export type Network = {
  Name: string
  Id: string
  Created: string
  Scope: string
  Driver: string
  /** Since API 1.47. */
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
}

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
  /** No way out of it. */
  Internal: boolean
  Attachable: boolean
  Ingress: boolean
  ConfigOnly: boolean
  ConfigFrom: { Network: string }
  IPAM: Ipam
  /** Since API 1.47. */
  EnableIPv4: boolean
  EnableIPv6: boolean
  Options: Record<string, string>
  Labels: Record<string, string>
}>
