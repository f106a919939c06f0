import { describeError, type EgressProxy, type Logger } from "../../base/index.ts";
import { type CallHeader, Code, sendableHeaders } from "../../grpc/index.ts";
import { callUnary } from "../../grpc-stream/index.ts";
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
  const { endpoint, proxy, tls, headers, log, deadlineMs } = call;
  const answer = await callUnary(
    {
      address: endpoint,
      proxy,
      tls,
      method: METHOD,
      authority: tls === "plaintext" ? endpoint : tls.serverName,
      headers: sendableHeaders(headers, log),
      request: encodeRequest(call),
      deadlineMs,
      mostMessageBytes: MOST_ANSWER_BYTES,
    },
    signal,
  );
  if (!Buffer.isBuffer(answer)) return { status: answer.code, details: answer.details };
  try {
    return readChain(answer);
  } catch (error) {
    return { status: Code.INTERNAL, details: `the answer cannot be read: ${describeError(error)}` };
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

function encodeRequest({ csr, ttlSeconds, certSigner }: SignCall): Uint8Array {
  const value = encodeFields({ [VALUE.stringValue]: certSigner });
  const entry = encodeFields({ [STRUCT_ENTRY.key]: "CertSigner", [STRUCT_ENTRY.value]: value });
  return encodeFields({
    [REQUEST.csr]: csr,
    [REQUEST.validityDuration]: Math.trunc(ttlSeconds),
    [REQUEST.metadata]: encodeFields({ [STRUCT.fields]: entry }),
  });
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
