import { AgentError, type Clock, Lifetime, type Logger, type Metrics, watchPaths } from "../../base/index.ts";
import { ToldReasons } from "../../grpc/index.ts";
import { type CaClientOptions, createCaClient } from "../ca/ca-client.ts";
import { spiffeId } from "../ca/csr.ts";
import { type IssuedCertificate, issueCertificate } from "../ca/issue.ts";
import type { KeySource } from "../prepare/keys.ts";
import { WORKLOAD } from "./names.ts";
import { createWorkload, type Workload } from "./workload.ts";

/** The workload's identity; with an empty namespace or service account the token alone gives it. */
export interface WantedIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Whether a certificate for another one is served, with a warning (`PILOTBOAT_ANY_IDENTITY`). Default: it is refused. */
  readonly isAnyTaken?: boolean;
}

export interface IssuerOptions {
  readonly ca: CaClientOptions;
  readonly keys: KeySource;
  readonly identity: WantedIdentity;
  readonly rotation: { readonly ratio: number; readonly jitter: number };
  readonly onIssued: (issued: IssuedCertificate, before: IssuedCertificate | undefined) => void;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: () => number;
  /** What others tell of the same control plane, when it cannot be reached. */
  readonly told?: ToldReasons;
}

/** The workload's certificate from the CA. */
export interface Issuer extends AsyncDisposable {
  readonly workload: Workload;
}

/**
 * Connects a workload with the CA. When a file that the connection depends on (roots, token, client certificate)
 * changes while requests fail, the next one is made at once.
 */
export async function startIssuer(options: IssuerOptions, stop: AbortSignal): Promise<Issuer> {
  const { ca, clock } = options;
  const log = options.log.scope("cache");
  const { trustDomain, namespace, serviceAccount, isAnyTaken = false } = options.identity;
  const identity = spiffeId(trustDomain, namespace, serviceAccount);
  const isIdentityKnown = namespace !== "" && serviceAccount !== "";
  const isAnyIdentityTaken = isAnyTaken || !isIdentityKnown;
  const asked = { keys: options.keys, identity, isAnyIdentityTaken };
  const parts = {
    ...asked,
    ca: createCaClient({ ...ca, identity: options.identity }, options),
    now: () => clock.now(),
  };
  const told = new ToldReasons();
  const life = new Lifetime();
  const workload = createWorkload(
    {
      ...options,
      ...options.rotation,
      log,
      issue: (signal) => issueLogged({ ...parts, isIdentityKnown, told }, log, signal),
    },
    stop,
  );
  await life.own("certificate", workload);
  await life.own("files of the CA connection", watchPaths({ paths: filesOf(ca), onChange: () => workload.nudge() }));
  return { workload, [Symbol.asyncDispose]: () => life[Symbol.asyncDispose]() };
}

async function issueLogged(
  parts: Parameters<typeof issueCertificate>[0] & { readonly isIdentityKnown: boolean; readonly told: ToldReasons },
  log: Logger,
  signal: AbortSignal,
): Promise<IssuedCertificate> {
  const startedAt = performance.now();
  try {
    const issued = await issueCertificate(parts, signal);
    parts.told.forget(WORKLOAD);
    log.info("generated new workload certificate", {
      resourceName: WORKLOAD,
      latency: `${Math.round(performance.now() - startedAt)}ms`,
      ttl: `${Math.round((issued.notAfterMs - issued.createdAtMs) / 1_000)}s`,
    });
    if (parts.isIdentityKnown && issued.leaf.subjectAltName !== `URI:${parts.identity}`) {
      log.warn("the CA issued another identity than requested", {
        asked: parts.identity,
        got: issued.leaf.subjectAltName ?? "none",
      });
    }
    return issued;
  } catch (error) {
    if (signal.aborted || !(error instanceof AgentError)) throw error; // the stop, or a bug: not the CA's doing
    const { code, message, hint, cause } = error;
    const isTold = code === "CA_UNREACHABLE"; // by the attempts
    log[parts.told.isNews(WORKLOAD, message) && !isTold ? "error" : "debug"]("failed to sign CSR", { error });
    throw new AgentError(code, `failed to generate workload certificate: ${message}`, {
      ...(hint === undefined ? {} : { hint }),
      cause,
    });
  }
}

function filesOf(ca: CaClientOptions): string[] {
  return [
    ...(ca.roots.kind === "file" ? [ca.roots.path] : []),
    ...(ca.tokenFile === undefined ? [] : [ca.tokenFile]),
    ...(ca.clientFiles === undefined ? [] : [ca.clientFiles.certChain, ca.clientFiles.key]),
  ];
}
