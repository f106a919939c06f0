import type { Any } from "@bufbuild/protobuf/wkt";
import type { EgressProxy } from "../base/index.ts";
import type { GrpcTls } from "../grpc/index.ts";
import type { Node } from "../proto/gen/envoy/config/core/v3/base_pb.ts";

/** An ADS server and how it is reached. */
export interface AdsServer {
  /** `host:port`. */
  readonly address: string;
  readonly tls: GrpcTls | "plaintext";
  /** Call metadata, such as `authorization`. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly proxy: EgressProxy | undefined;
}

/** What a client asks for on one stream. */
export interface Question {
  readonly isDelta: boolean;
  readonly node: Node;
  readonly wanted: readonly Wanted[];
}

export interface Wanted {
  readonly typeUrl: string;
  /** Empty: all of the type, or, where a type is asked for by name, those that other resources refer to. */
  readonly names: readonly string[];
  /** Of a delta stream: versions that the client claims to have, by name. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** A resource as it came. */
export interface Received {
  readonly name: string;
  /** Of the resource in a delta stream, else of the whole response. */
  readonly version: string;
  readonly any: Any;
}

/** One response. */
export interface Response {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly Received[];
  readonly removed: readonly string[];
}
