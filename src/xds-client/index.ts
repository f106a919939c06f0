export type { Change, Watched } from "./conversation.ts";
export { describeNode, type NodeWords, nodeFromJson } from "./describe-node.ts";
export { getResources } from "./get-resources.ts";
export { readRequests } from "./read-requests.ts";
export { createTeller, type ResourceTeller } from "./resource-teller.ts";
export { KNOWN_NAMES, namedBy, nearestType, readType, showType } from "./resource-types.ts";
export type { AdsServer, Question, Received, Response, Wanted } from "./types.ts";
export { watchResources } from "./watch-resources.ts";
