import { memberOf, valueIn } from "../proto/struct.ts";
import { bytesOf, eachField, readFields } from "../proto/wire.ts";
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
      else if (nodeField === NODE_METADATA) facts.generator = textIn(node.bytes(), "GENERATOR");
      else return false;
      return true;
    });
    return true;
  });
  return facts;
}

/** A text of a Struct; empty when it has none of that name. */
function textIn(struct: Uint8Array, name: string): string {
  const value = valueIn(memberOf(struct, name));
  return typeof value === "string" ? value : "";
}

const NODE_ID = 1;
const NODE_METADATA = 3;
const NODE_USER_AGENT = 6;
const NODE_EXTENSIONS = 9;

/** What an Envoy says it can be configured with. */
export interface ExtensionFacts {
  /** Full names of the messages that configure its extensions: by these Envoy finds them. */
  readonly types: ReadonlySet<string>;
  /** Names of extensions for which it lists no message, as Envoys before 1.19 do for all. */
  readonly names: ReadonlySet<string>;
}

/**
 * `node.extensions` of a first request: some 450 of them, and Envoy waits meanwhile. So they are found by their places in one
 * text, and none becomes a message of its own. Types and names are ASCII. Throws on bytes that are not protobuf.
 * Source: envoy/config/core/v3/base.proto.
 */
export function peekExtensions(variant: Variant, message: Uint8Array): ExtensionFacts {
  const types = new Set<string>();
  const names = new Set<string>();
  const node = bytesOf(message, variant.request.node);
  const text = Buffer.from(node.buffer, node.byteOffset, node.byteLength).toString("latin1");
  eachField(node, 0, node.length, (nodeField, start, end) => {
    if (nodeField !== NODE_EXTENSIONS) return;
    let name = "";
    let hasType = false;
    eachField(node, start, end, (field, from, to) => {
      if (field === EXTENSION_NAME) name = text.slice(from, to);
      else if (field === EXTENSION_TYPE_URLS) {
        const typeUrl = text.slice(from, to);
        hasType = true;
        types.add(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
      }
    });
    if (!hasType) names.add(name);
  });
  return { types, names };
}

const EXTENSION_NAME = 1;
const EXTENSION_TYPE_URLS = 6;
