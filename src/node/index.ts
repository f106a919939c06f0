export { TYPED_FIELDS } from "../istio/metadata/index.ts";
export { describeNode } from "./describe-node.ts";
export type { AddressFamily } from "./family.ts";
export { gatherFacts } from "./gather-facts.ts";

export type { NodeDescription, NodeOptions } from "./node-types.ts";
export { discoverPlatform, type PlatformWords } from "./platform/discover.ts";
