import type { EgressProxy } from "../base/index.ts";
import type { FailureKind, GrpcTls } from "../grpc/index.ts";

export const TYPE_PREFIX = "type.googleapis.com/";
export const CLUSTER_TYPE = `${TYPE_PREFIX}envoy.config.cluster.v3.Cluster`;
/** An envelope around another resource; what is in it is not to be seen by its type. */
export const WRAPPER_TYPE = `${TYPE_PREFIX}envoy.service.discovery.v3.Resource`;
export const LISTENER_TYPE = `${TYPE_PREFIX}envoy.config.listener.v3.Listener`;

/**
 * Whether a response may reach Envoy: resource types of Envoy itself, and Istio's workload type, which Envoy's peer
 * metadata filter subscribes to. Anything else was meant for the agent. Source: istio/istio pkg/model/xds.go.
 */
export function isForwardable(typeUrl: string): boolean {
  return typeUrl.startsWith(`${TYPE_PREFIX}envoy.`) || typeUrl === `${TYPE_PREFIX}istio.workload.Workload`;
}

/** The opener of a stream: an Envoy, or a program that speaks xDS by itself, such as a proxyless gRPC client. */
export type Peer = "envoy" | "client";

/** The peer in a log line or a reason. */
export const PEER_NAMES: Readonly<Record<Peer, string>> = { envoy: "Envoy", client: "gRPC client" };

/** What the relay asks for each time Envoy opens a stream, so that rotated files count from the next stream on. */
export interface UpstreamCredentials {
  /** How to secure the connection. A rejection ends the stream with UNAVAILABLE. */
  tls(): Promise<"plaintext" | UpstreamTls>;
  /** Call metadata such as `authorization`. A rejection ends the stream with UNAUTHENTICATED. */
  metadata(): Promise<[string, string][]>;
  /** What is known of a failed stream and the control plane does not say: gRPC's code and the plain reason go in. Never rejects. */
  explain?(failure: { readonly code: number; readonly reason: string }): Promise<string | undefined>;
}

/** An empty server name stands for the host of the address. */
export type UpstreamTls = GrpcTls;

export interface UpstreamOptions {
  /** `host:port` of the control plane, resolved anew for each stream. */
  readonly address: string;
  readonly credentials: UpstreamCredentials;
  /** Sent as `clusterid`, also when empty. */
  readonly clusterId: string;
  /** Further call metadata (`XDS_HEADER_*`). Values of keys that end in `-bin` are base64. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Default: none. Never asked for the machine itself. */
  readonly proxy?: EgressProxy | undefined;
  /** Limit for credentials, DNS, TCP, TLS and HTTP/2 set-up together. Default 8 s. */
  readonly connectTimeoutMs?: number;
}

/**
 * Takes the first resource of a response (its `Any` value) of a type that belongs to the agent. Returning acknowledges
 * the response, throwing rejects it with the error's text. Must not keep the bytes.
 */
export type Intercept = (resource: Uint8Array) => void | Promise<void>;

/**
 * Where the connection to the control plane stands. Times are milliseconds since the epoch. A failure stays noted until
 * a response arrives: a control plane that accepts connections and refuses every stream has not recovered.
 */
export type UpstreamState =
  | { readonly kind: "idle" }
  | { readonly kind: "connecting"; readonly sinceMs: number; readonly failure: UpstreamFailure | undefined }
  | {
      readonly kind: "connected";
      readonly sinceMs: number;
      readonly isDelta: boolean;
      readonly failure: UpstreamFailure | undefined;
    }
  | { readonly kind: "responding"; readonly sinceMs: number; readonly lastResponseMs: number }
  | { readonly kind: "failed"; readonly failure: UpstreamFailure };

export interface UpstreamFailure {
  /** What went wrong, without time stamps, so that equal failures have equal texts. */
  readonly reason: string;
  /** Name of the gRPC status that Envoy was given, for example `UNAVAILABLE`. */
  readonly code: string;
  /** Nobody answered; a refusal is an answer. */
  readonly isAway: boolean;
  /** Streams in a row that failed, whatever their reasons. */
  readonly attempts: number;
  /** When the first of them failed. */
  readonly sinceMs: number;
  readonly lastMs: number;
}

/** Why Envoy, or a gRPC client, has no (good) configuration. */
export interface Trouble {
  /** `nack`: it refused what it was sent; `listener`: because it cannot listen; `control-plane`: a stream that does not answer, or another failure. */
  readonly kind: FailureKind | "nack" | "listener" | "control-plane";
  /** One line. */
  readonly text: string;
  /** Milliseconds since the epoch; absent where nothing has happened yet. */
  readonly sinceMs?: number;
}

/** The latest resource set that Envoy (or a gRPC client) refused, until it accepts one of the same type. */
export interface Rejection {
  readonly typeUrl: string;
  /** Envoy's own words. */
  readonly message: string;
  readonly nonce: string;
  /** The version that Envoy keeps using; empty in delta streams. */
  readonly versionInfo: string;
  readonly atMs: number;
}
