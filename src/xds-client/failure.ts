import { AgentError, describeError, type ErrorCode } from "../base/index.ts";
import {
  Code,
  codeName,
  failureKind,
  isOtherName,
  isProxyFailure,
  isUntrusted,
  plainReason,
  type StreamStatus,
  unreachableHint,
} from "../grpc/index.ts";
import type { AdsServer } from "./types.ts";

/** A response that is no message of its type. The server would send the same bytes again, so nobody tries again. */
export class UnreadableResponse extends AgentError {
  constructor(address: string, messageName: string, cause: unknown) {
    const text = `The control plane at "${address}" sent what is no ${messageName}: ${describeError(cause)}`;
    super("REQUEST_FAILED", text, { cause });
  }
}

/** Why a stream ended, with what can be done about it. `wasConnected`: HTTP/2 was established. */
export function failureOf(
  { code, details }: StreamStatus,
  { address, tls, headers }: AdsServer,
  wasConnected: boolean,
): AgentError {
  const reason = plainReason(details);
  const isPlaintext = tls === "plaintext";
  const failed = (errorCode: ErrorCode, text: string, hint?: string): AgentError =>
    new AgentError(errorCode, text, hint === undefined ? {} : { hint });
  if (code === Code.UNAUTHENTICATED) {
    const hasToken = headers.some(([name]) => name === "authorization");
    const hint = hasToken
      ? "Is the token for this cluster, for the audience istio-ca, and not expired?"
      : "Give a token with --token FILE, or a client certificate with --cert and --key";
    return failed("UNAUTHENTICATED", `The control plane at "${address}" does not know who calls: ${reason}`, hint);
  }
  if (code === Code.UNAVAILABLE || (!wasConnected && failureKind(reason) === "tls")) {
    const text = `Cannot reach the control plane at "${address}": ${reason || codeName(code)}`;
    return failed("CONTROL_PLANE_UNREACHABLE", text, wasConnected ? undefined : reachHint(reason, isPlaintext));
  }
  if (code === Code.OK) {
    return failed("REQUEST_FAILED", `The control plane at "${address}" ended the stream before it had answered`);
  }
  if (code === Code.INTERNAL && reason.startsWith("a message is compressed with")) {
    const text = `Cannot read what the control plane at "${address}" sent: ${reason}`;
    return failed("REQUEST_FAILED", text, COMPRESSION_HINT);
  }
  const text = `The control plane at "${address}" refused: ${codeName(code)}: ${reason}`;
  return failed("REQUEST_FAILED", text, REFUSAL_HINTS[code]);
}

/** The failure is this client's own. */
const COMPRESSION_HINT = "Turn off the compression of responses at the control plane, or use gzip there";

const REFUSAL_HINTS: Readonly<Record<number, string>> = {
  [Code.UNIMPLEMENTED]: "It speaks gRPC, and has no ADS of version 3",
  [Code.PERMISSION_DENIED]: "Namespace and service account of the node must be those of the token or certificate",
  [Code.INVALID_ARGUMENT]:
    "Istio wants a node id of four parts, such as sidecar~10.0.0.1~pod.namespace~namespace.svc.cluster.local",
};

function reachHint(reason: string, isPlaintext: boolean): string | undefined {
  if (isOtherName(reason))
    return "Give the name in its certificate with --server-name, such as istiod.istio-system.svc";
  if (isUntrusted(reason)) {
    return "Give the mesh's root with --root-cert FILE; a cluster has it in the ConfigMap istio-ca-root-cert of each namespace";
  }
  if (reason === "the server does not speak TLS") return "Use --plaintext";
  const hint = unreachableHint(reason);
  if (isProxyFailure(reason)) return hint;
  if (isPlaintext && failureKind(reason) !== "dns" && !reason.includes("ECONNREFUSED")) {
    return "Does it speak TLS? Then leave --plaintext out";
  }
  return hint === undefined || failureKind(reason) !== "connect"
    ? undefined
    : `${hint[0]?.toUpperCase()}${hint.slice(1)}`;
}
