export { TYPED_FIELDS } from "../istio/metadata/index.ts";
export { describeNode } from "./describe-node.ts";
export type { AddressFamily } from "./family.ts";
export { type FactSources, gatherFacts } from "./gather-facts.ts";
export { type IpMode, isIpv6 } from "./ip.ts";
export type { Locality } from "./locality.ts";
export {
  type NodeDescription,
  type NodeFacts,
  type NodeOptions,
  type Platform,
  UNKNOWN_PLATFORM,
} from "./node-types.ts";
export { discoverPlatform, type PlatformWords } from "./platform/discover.ts";
