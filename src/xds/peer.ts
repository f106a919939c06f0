import { readFields } from "../proto/wire.ts";
import type { Peer } from "./types.ts";
import type { Variant } from "./variant.ts";

/** What a client tells of itself in `node`, which stands in the first request of a stream. Missing fields are empty. */
export interface PeerFacts {
  readonly nodeId: string;
  /** `envoy`, `gRPC Go`, `gRPC C-core`, `gRPC Java`, `gRPC Node Pure JS`. */
  readonly userAgent: string;
  /** `GENERATOR` of the metadata: `grpc` in the bootstrap that the agent writes for gRPC clients. */
  readonly generator: string;
}

/**
 * Envoy names itself `envoy` unless its bootstrap says otherwise, and gRPC's libraries name themselves, too. A stream
 * that tells neither is taken for Envoy's, as in Istio.
 */
export function peerOf({ userAgent, generator }: PeerFacts): Peer {
  const isEnvoy = userAgent === "" ? generator !== "grpc" : userAgent === "envoy";
  return isEnvoy ? "envoy" : "client";
}

/** Throws on bytes that are not protobuf. Source: envoy/config/core/v3/base.proto. */
export function peekPeer(variant: Variant, message: Uint8Array): PeerFacts {
  const facts = { nodeId: "", userAgent: "", generator: "" };
  readFields(message, (field, request) => {
    if (field !== variant.request.node) return false;
    readFields(request.bytes(), (nodeField, node) => {
      if (nodeField === NODE_ID) facts.nodeId = node.string();
      else if (nodeField === NODE_USER_AGENT) facts.userAgent = node.string();
      else if (nodeField === NODE_METADATA) facts.generator = textOf(node.bytes(), "GENERATOR");
      else return false;
      return true;
    });
    return true;
  });
  return facts;
}

const NODE_ID = 1;
const NODE_METADATA = 3;
const NODE_USER_AGENT = 6;

/** A text of a `google.protobuf.Struct`; empty when it has none of that name. */
function textOf(struct: Uint8Array, wanted: string): string {
  let found = "";
  readFields(struct, (_fields, entry) => {
    const pair = { key: "", value: "" };
    readFields(entry.bytes(), (field, reader) => {
      if (field === 1) pair.key = reader.string();
      else if (field === 2 && pair.key === wanted) pair.value = stringValue(reader.bytes());
      else return false;
      return true;
    });
    if (pair.key === wanted) found = pair.value;
    return true;
  });
  return found;
}

function stringValue(value: Uint8Array): string {
  let text = "";
  readFields(value, (field, reader) => {
    if (field !== 3) return false;
    text = reader.string();
    return true;
  });
  return text;
}
