import { type Logger, splitHostPort } from "../base/index.ts";
import { type CallHeader, Code, headersOf, StatusError, sendableHeaders } from "../grpc/index.ts";
import { type ClientStream, type Keepalive, type MessageHandler, openGrpcStream } from "../grpc-stream/index.ts";
import type { UpstreamOptions, UpstreamTls } from "./types.ts";
import type { Variant } from "./variant.ts";

/** DNS, TCP, TLS and HTTP/2 settings together; a control plane that swallows packets is reported within 10 s. */
const DEFAULT_CONNECT_TIMEOUT_MS = 8_000;

/** Of a response that is read whole. The reference has no limit. The largest pushes of large meshes have some tens of megabytes. */
const MOST_RESPONSE_BYTES = 256 * 1_024 * 1_024;

export interface OpenOptions {
  readonly variant: Variant;
  readonly upstream: UpstreamOptions;
  readonly keepalive: Keepalive;
  readonly handler: MessageHandler;
  readonly log: Logger;
}

/**
 * Opens a stream on a connection of its own, once the credentials are there. Requests wait until the connection stands, and
 * one that does not within the limit ends the call with UNAVAILABLE. Rejects with a StatusError when credentials cannot be had.
 */
export async function openUpstream({ variant, upstream, keepalive, handler, log }: OpenOptions): Promise<ClientStream> {
  const deadlineMs = performance.now() + (upstream.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS);
  const { credentials, address, proxy } = upstream;
  const tls = await until(deadlineMs, credentials.tls()).catch(failWith(Code.UNAVAILABLE, "cannot prepare TLS"));
  const token = await until(deadlineMs, credentials.metadata()).catch(
    failWith(Code.UNAUTHENTICATED, "cannot get credentials"),
  );
  return openGrpcStream({
    address,
    proxy,
    tls: named(tls, address),
    method: variant.method,
    authority: (tls === "plaintext" ? "" : tls.serverName) || address,
    headers: sendableHeaders(callHeaders(upstream, token), log),
    keepalive,
    connectLimitMs: Math.max(0, deadlineMs - performance.now()),
    mostMessageBytes: MOST_RESPONSE_BYTES,
    handler,
  });
}

/** Rejects when the promise has not settled by then; a hanging token fetcher must not hang Envoy's stream. */
function until<T>(deadlineMs: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const leftMs = Math.max(0, deadlineMs - performance.now());
    const late = (): void => reject(new Error(`timed out after ${Math.ceil(leftMs / 100) / 10}s`));
    const limit = setTimeout(late, leftMs);
    promise.then(resolve, reject).finally(() => clearTimeout(limit));
  });
}

function failWith(code: number, what: string): (error: unknown) => never {
  return (error) => {
    throw new StatusError(code, `${what}: ${error instanceof Error ? error.message : String(error)}`, error);
  };
}

function named(tls: UpstreamTls | "plaintext", address: string): UpstreamTls | "plaintext" {
  return tls === "plaintext" ? tls : { ...tls, serverName: tls.serverName || hostOf(address) };
}

function hostOf(address: string): string {
  const split = splitHostPort(address);
  return typeof split === "string" ? address : split.host;
}

function callHeaders({ clusterId, headers = [] }: UpstreamOptions, token: readonly [string, string][]): CallHeader[] {
  return [
    { name: "clusterid", value: clusterId, from: "ISTIO_META_CLUSTER_ID" },
    ...headersOf("XDS_HEADER_", headers),
    ...token.map(([name, value]) => ({ name, value, from: "credentials" })),
  ];
}
