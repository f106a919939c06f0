/**
 * Where a failure has to be fixed: on the command line, on the machine, at the other end of a connection, or in our code.
 * `usage` ends the process with exit code 2, everything else with 1.
 */
export type ErrorKind = "usage" | "environment" | "peer" | "bug";

interface CatalogueEntry {
  readonly kind: ErrorKind;
  /** One sentence for docs/errors.md. */
  readonly summary: string;
}

/**
 * Every error code of the product. docs/errors.md is generated from this table. Here alone `base` names what the rooms
 * above it are about: a code is a promise to users, and one list keeps the codes distinct and their kinds comparable.
 */
export const ERROR_CATALOGUE = {
  ADDRESS_IN_USE: { kind: "environment", summary: "A port or socket that the agent must listen on is in use." },
  ADDRESS_UNUSABLE: {
    kind: "environment",
    summary: "The agent may not listen on a free port: it lacks permission, or no interface has the address.",
  },
  APPLICATION_NOT_EXECUTABLE: {
    kind: "environment",
    summary: "The application of `run` is a file that cannot be executed; the exit code is 126, as in a shell.",
  },
  APPLICATION_NOT_FOUND: {
    kind: "environment",
    summary: "The application of `run` does not exist; the exit code is 127, as in a shell.",
  },
  CA_ANSWER_INVALID: {
    kind: "peer",
    summary: "The certificate authority sent an unusable answer.",
  },
  CA_FOLDER_INVALID: {
    kind: "usage",
    summary: "The CA files for the control plane are incomplete or do not match.",
  },
  CA_REFUSED: { kind: "peer", summary: "The certificate authority refused to sign the workload's certificate." },
  CA_UNREACHABLE: { kind: "peer", summary: "The certificate authority did not answer; a retry may help." },
  CONFIG_INVALID: {
    kind: "usage",
    summary: "The configuration has problems; the message lists each with its origin.",
  },
  CONTROL_PLANE_UNREACHABLE: {
    kind: "peer",
    summary: "The control plane is not connected, and the request needs its configuration.",
  },
  CSR_INVALID: { kind: "peer", summary: "A certificate request cannot be signed." },
  ENVOY_ADMIN_UNREACHABLE: { kind: "peer", summary: "Envoy's admin API does not answer, or not with 200." },
  ENVOY_ENDED: {
    kind: "peer",
    summary: "Envoy exited by itself; the exit code is Envoy's own, or 128 plus the signal.",
  },
  ENVOY_FETCH_FAILED: { kind: "environment", summary: "Envoy's executable could not be fetched." },
  ENVOY_HASH_MISMATCH: {
    kind: "peer",
    summary: "An Envoy differs from the one that envoy.lock.json pins. A freshly fetched one is deleted.",
  },
  ENVOY_LACKS_EXTENSION: {
    kind: "environment",
    summary: "Envoy does not have an extension of Istio's Envoy that its bootstrap asks for, and would not start.",
  },
  ENVOY_NOT_EXECUTABLE: { kind: "environment", summary: "The file named as Envoy cannot be executed on this machine." },
  ENVOY_NOT_FOUND: { kind: "environment", summary: "There is no Envoy executable at the given place." },
  ENVOY_START_FAILED: { kind: "environment", summary: "Envoy's process could not be started." },
  FILE_UNREADABLE: { kind: "environment", summary: "A file that must be read is missing or not readable." },
  FILE_UNWRITABLE: { kind: "environment", summary: "A file or folder that must be written cannot be." },
  IMAGE_DIGEST_MISMATCH: {
    kind: "peer",
    summary: "What a registry sent of an image is not what its digest says. Nothing of it is kept.",
  },
  IMAGE_NOT_FOUND: { kind: "peer", summary: "A registry does not have the image that was asked for." },
  IMAGE_UNUSABLE: {
    kind: "peer",
    summary: "An image is what its digest says, and lacks what is wanted of it: a platform, a file, a known form.",
  },
  INJECTION_FAILED: {
    kind: "usage",
    summary: "A pod cannot be injected: an annotation is wrong, a template is unknown or fails.",
  },
  INTERNAL: { kind: "bug", summary: "The agent met a state that its own logic rules out." },
  KUBECONFIG_INVALID: {
    kind: "usage",
    summary: "The kubeconfig that was named is missing, cannot be read, or does not have what was asked for.",
  },
  KUBECONFIG_MISSING: {
    kind: "usage",
    summary: "There is no kubeconfig where one is looked for, and this is no pod.",
  },
  KUBE_CONFLICT: { kind: "peer", summary: "The Kubernetes API server refused a change because of another one." },
  KUBE_CREDENTIALS: {
    kind: "environment",
    summary: "The credentials of the kubeconfig cannot be obtained: an exec plugin is missing or failed.",
  },
  KUBE_FORBIDDEN: {
    kind: "peer",
    summary: "The user of the kubeconfig may not do this; verb and resource are named, for a Role.",
  },
  KUBE_NOT_FOUND: { kind: "peer", summary: "The cluster does not have this object; what is alike is named." },
  KUBE_REFUSED: { kind: "peer", summary: "The Kubernetes API server refused a request; its answer is quoted." },
  KUBE_UNAUTHENTICATED: {
    kind: "peer",
    summary: "The Kubernetes API server does not accept the credentials of the kubeconfig.",
  },
  KUBE_UNREACHABLE: {
    kind: "peer",
    summary:
      "The Kubernetes API server gave no answer: no connection, a certificate that is not trusted, or a time-out.",
  },
  LOCAL_ISTIOD_IN_USE: {
    kind: "environment",
    summary: "The Service of istiod leads to an istiod on a machine already; the message names which.",
  },
  MANIFEST_INVALID: {
    kind: "usage",
    summary: "A Kubernetes manifest cannot be read, or lacks what its kind must have; file and line are named.",
  },
  NOT_CONFIRMED: {
    kind: "usage",
    summary: "The cluster looks like production, and the question whether it is meant was not answered with yes.",
  },
  PROGRAM_FAILED: {
    kind: "environment",
    summary: "A program that the agent needs could not be started, or printed more than the agent reads.",
  },
  PROGRAM_NOT_FOUND: { kind: "environment", summary: "A program that the agent needs is not there or not executable." },
  REDIRECT_FAILED: {
    kind: "environment",
    summary: "iptables, nft or ip refused to change the rules that redirect traffic; its words are quoted.",
  },
  REDIRECT_NOT_POSSIBLE: {
    kind: "environment",
    summary:
      "Traffic cannot be redirected here: no rights, no iptables that works, no address, no namespace, or not Linux.",
  },
  REDIRECT_NOT_SEEN: {
    kind: "environment",
    summary: "A call that the rules should redirect was not redirected; the exit code is 126.",
  },
  REGISTRY_REFUSED: { kind: "peer", summary: "A registry does not hand out an image, or not to us, or not now." },
  REGISTRY_UNREACHABLE: {
    kind: "peer",
    summary: "A registry did not answer, or not to the end; trying again may help.",
  },
  REQUEST_FAILED: { kind: "peer", summary: "Envoy or the agent refused a request or did not answer." },
  RESOURCES_INVALID: {
    kind: "usage",
    summary: "A file in the control plane's folder is invalid; the message names file, line and field.",
  },
  ROOT_CA_UNUSABLE: {
    kind: "environment",
    summary: "The roots to verify the control plane with are missing or unusable.",
  },
  RUN_FOLDER_IN_USE: {
    kind: "environment",
    summary: "Another agent already runs in this folder; the message names its pid.",
  },
  SDS_SOCKET_MISSING: {
    kind: "environment",
    summary: "The SDS socket that another program should provide is not there.",
  },
  SECRET_FILE_INVALID: { kind: "environment", summary: "A certificate, key or root file cannot be used." },
  SECRET_UNAVAILABLE: { kind: "environment", summary: "Nothing provides the workload certificate that was asked for." },
  SECRET_UNKNOWN: { kind: "peer", summary: "Envoy requested a secret that does not exist." },
  SOCKET_PATH_TOO_LONG: { kind: "usage", summary: "A UNIX socket path is longer than the platform allows." },
  STOPPED: { kind: "environment", summary: "The work stopped because a stop was requested." },
  TIMEOUT: { kind: "environment", summary: "A wait timed out." },
  TOKEN_UNREADABLE: { kind: "environment", summary: "The agent cannot obtain its token." },
  UNAUTHENTICATED: { kind: "peer", summary: "A caller did not prove who it is." },
  UNTRUSTED_PATH: {
    kind: "environment",
    summary: "A file or folder that the agent must rely on can be changed by another user.",
  },
  USAGE: { kind: "usage", summary: "The command line cannot be understood." },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

export interface AgentErrorOptions {
  /** What the reader can do about it: one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * The one error class. The message says what could not be done, to what, what was found and what was wanted;
 * sentence case, values in double quotes, no final stop.
 */
export class AgentError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: AgentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AgentError";
    this.code = code;
    this.hint = options.hint;
  }

  get kind(): ErrorKind {
    return ERROR_CATALOGUE[this.code].kind;
  }
}

/** The text of anything that was thrown, with the chain of its causes: `a: b: c`. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let at = error, depth = 0; at !== undefined && depth < 5; depth++) {
    const text = at instanceof Error ? at.message || at.name : String(at);
    if (!parts.some((earlier) => earlier.includes(text))) parts.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(": ");
}

/** What failed after `stop` aborted, as STOPPED with the stop's reason; before that, the failure as it is. */
export function stoppedOr(error: unknown, stop: AbortSignal): unknown {
  if (!stop.aborted || isStopped(error)) return error;
  return new AgentError("STOPPED", `Stopped: ${describeError(stop.reason)}`, { cause: error });
}

export function isStopped(error: unknown): boolean {
  return error instanceof AgentError && error.code === "STOPPED";
}

/** The `code` of a Node system error such as `ENOENT`, or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
