import type { Client, Metadata, ServiceError, StatusObject } from "@grpc/grpc-js";
import * as grpc from "@grpc/grpc-js";
import type { EgressProxy, Logger } from "../../base/index.ts";
import { type CallHeader, callMetadata, grpcCredentials, grpcTarget } from "../../grpc/index.ts";
import { encodeFields, readFields } from "../../proto/wire.ts";
import type { ControlPlaneTls } from "../tls/control-plane-tls.ts";

/** Source: istio/api security/v1alpha1/ca.proto. */
const METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

export interface SignCall {
  /** `host:port`. */
  readonly endpoint: string;
  readonly proxy?: EgressProxy | undefined;
  readonly tls: ControlPlaneTls | "plaintext";
  readonly headers: readonly CallHeader[];
  readonly csr: string;
  readonly ttlSeconds: number;
  readonly certSigner: string;
  readonly deadlineMs: number;
  readonly log: Logger;
}

/** The CA's refusal, or that it could not be reached, in gRPC's terms. */
export interface CallFailure {
  /** gRPC status number. */
  readonly status: number;
  readonly details: string;
}

/**
 * One attempt to have a request signed, over a connection of its own: the next attempt is then free to use roots,
 * client certificate and token that changed meanwhile. Resolves with the chain or with the failure.
 */
export async function callSign(call: SignCall, signal: AbortSignal): Promise<readonly string[] | CallFailure> {
  signal.throwIfAborted();
  const metadata = callMetadata(grpc.Metadata, call.headers, call.log);
  const { target, options, tunnel } = grpcTarget(grpc, call.endpoint, call.proxy);
  const credentials = grpcCredentials(grpc, call.tls, tunnel);
  const client = new grpc.Client(target, credentials, { ...channelOptions(call), ...options });
  try {
    return await unary(client, call, {
      metadata,
      request: encodeRequest(call),
      signal,
    });
  } finally {
    client.close();
  }
}

/** A chain has some kilobytes; this is the default of gRPC, which the reference keeps. */
const MOST_ANSWER_BYTES = 4 * 2 ** 20;

/** Field numbers. Source: istio/api security/v1alpha1/ca.proto, google/protobuf/struct.proto. */
const REQUEST = { csr: 1, validityDuration: 3, metadata: 4 };
const RESPONSE = { certChain: 1 };
const STRUCT = { fields: 1 };
const STRUCT_ENTRY = { key: 1, value: 2 };
const VALUE = { stringValue: 3 };

function encodeRequest({ csr, ttlSeconds, certSigner }: SignCall): Buffer {
  const value = encodeFields({ [VALUE.stringValue]: certSigner });
  const entry = encodeFields({ [STRUCT_ENTRY.key]: "CertSigner", [STRUCT_ENTRY.value]: value });
  return Buffer.from(
    encodeFields({
      [REQUEST.csr]: csr,
      [REQUEST.validityDuration]: Math.trunc(ttlSeconds),
      [REQUEST.metadata]: encodeFields({ [STRUCT.fields]: entry }),
    }),
  );
}

/** PEM texts: leaf first, roots last. */
function readChain(bytes: Uint8Array): string[] {
  const chain: string[] = [];
  readFields(bytes, (field, reader) => {
    if (field !== RESPONSE.certChain) return false;
    chain.push(reader.string());
    return true;
  });
  return chain;
}

function channelOptions({ endpoint, tls }: SignCall): Record<string, string | number> {
  return {
    "grpc.enable_retries": 0, // ours are counted and logged
    "grpc.use_local_subchannel_pool": 1, // a shared one would hand out the old connection
    "grpc.service_config_disable_resolution": 1,
    "grpc.max_receive_message_length": MOST_ANSWER_BYTES,
    "grpc.default_authority": tls === "plaintext" ? endpoint : tls.serverName,
  };
}

interface Unary {
  readonly metadata: Metadata;
  readonly request: Buffer;
  readonly signal: AbortSignal;
}

function unary(client: Client, call: SignCall, parts: Unary): Promise<readonly string[] | CallFailure> {
  return new Promise((resolve, reject) => {
    const done = (error: ServiceError | null, chain?: readonly string[]): void => {
      parts.signal.removeEventListener("abort", cancel);
      if (parts.signal.aborted) reject(parts.signal.reason);
      else resolve(error === null && chain !== undefined ? chain : failureOf(error));
    };
    const running = client.makeUnaryRequest(
      METHOD,
      (bytes: Buffer) => bytes,
      readChain,
      parts.request,
      parts.metadata,
      { deadline: Date.now() + call.deadlineMs },
      done,
    );
    const cancel = (): void => running.cancel();
    parts.signal.addEventListener("abort", cancel, { once: true });
  });
}

function failureOf(error: Pick<StatusObject, "code" | "details"> | null): CallFailure {
  const details = error?.details.replace(/\. Resolution note: $/, "") ?? "no answer"; // grpc-js leaves it there, empty
  return { status: error?.code ?? 2, details };
}
