import {
  AgentError,
  type Backoff,
  backoffMs,
  type Clock,
  type EgressProxy,
  type Logger,
  type Metrics,
  systemClock,
} from "../../base/index.ts";
import { type CallHeader, headersOf, plainReason, ToldReasons, unreachableHint } from "../../grpc/index.ts";
import { type ExplainFailure, failureExplainer } from "../explain-failure.ts";
import {
  type ControlPlaneTls,
  controlPlaneTlsLoader,
  isPlaintext,
  type NameSetting,
  type RootSource,
} from "../tls/control-plane-tls.ts";
import type { AskedOfToken } from "../tokens/token-differences.ts";
import type { Tokens } from "../tokens/tokens.ts";
import { FAILED_OUTGOING_REQUESTS, OUTGOING_LATENCY, OUTGOING_REQUESTS, OUTGOING_RETRIES } from "./metrics.ts";
import type { CallFailure } from "./sign-call.ts";
import { isRetryable, statusName } from "./status.ts";

/** How to reach the CA and what to tell it. */
export interface CaClientOptions {
  /** `host:port`; port 15010 means without TLS. */
  readonly endpoint: string;
  /** Roots for the connection; not used without TLS. Read anew for each attempt. */
  readonly roots: RootSource;
  /** Name to verify instead of the endpoint's host; empty for none. */
  readonly nameOverride: string;
  readonly nameSetting?: NameSetting | undefined;
  /** Our own certificate for the connection (`PROV_CERT`); undefined for none. */
  readonly clientFiles: { readonly certChain: string; readonly key: string } | undefined;
  /** `COMPLIANCE_POLICY`. */
  readonly compliance: string;
  readonly tokens: Tokens;
  /** Where the token is read from, to notice a new one at once; undefined when it is no file. */
  readonly tokenFile: string | undefined;
  readonly clusterId: string;
  /** What the agent says of itself, to explain a refusal. Default: nothing. */
  readonly identity?: Pick<AskedOfToken, "namespace" | "serviceAccount">;
  /** `ISTIO_META_CERT_SIGNER`; sent also when empty. */
  readonly certSigner: string;
  /** Metadata of each call (`CA_HEADER_*`). */
  readonly headers: readonly (readonly [string, string])[];
  /** Default: none. Never asked for the machine itself. */
  readonly proxy?: EgressProxy | undefined;
  /** Lifetime to ask for. */
  readonly ttlSeconds: number;
  /** Longest wait for one attempt. Default 15 s. */
  readonly attemptMs?: number;
}

export interface CaParts {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** What others tell of the same control plane, when it cannot be reached. */
  readonly told?: ToldReasons;
}

/** Has certificate requests signed. */
export interface CaClient {
  /**
   * The chain as PEM texts: leaf first, roots last. Rejects with CA_UNREACHABLE when trying again may help, with
   * CA_REFUSED when the CA said no, with CA_ANSWER_INVALID, ROOT_CA_UNUSABLE or TOKEN_UNREADABLE.
   */
  sign(csr: string, signal: AbortSignal): Promise<readonly string[]>;
}

/** Source: istio/istio security/pkg/nodeagent/caclient (the retry interceptor). */
const RETRY: Backoff = { initialMs: 100, factor: 2, maxMs: 800, jitter: 0.1 };
const ATTEMPTS = 5;
const ATTEMPT_MS = 15_000;
const CSR = { request_type: "csr" };

export function createCaClient(options: CaClientOptions, parts: CaParts): CaClient {
  const { metrics, clock = systemClock, told = new ToldReasons() } = parts;
  const now = (): number => clock.now();
  const loadTls = controlPlaneTlsLoader({ ...options, log: parts.log.scope("security"), now });
  const { tokens, tokenFile, clusterId, identity = { namespace: "", serviceAccount: "" }, proxy } = options;
  const explain = failureExplainer({ plan: options, tokens, asked: { ...identity, clusterId }, tokenFile, proxy, now });
  if (isPlaintext(options.endpoint)) {
    parts.log
      .scope("citadelclient")
      .warn("Debug mode or IP-secure network: the CA is asked without TLS, and the token goes unencrypted", {
        endpoint: options.endpoint,
      });
  }
  return {
    async sign(csr, signal) {
      const startedAt = performance.now();
      metrics.count(OUTGOING_REQUESTS, CSR);
      try {
        return await signWithRetries(csr, options, { ...parts, loadTls, explain, told }, signal);
      } catch (error) {
        metrics.count(FAILED_OUTGOING_REQUESTS, CSR);
        throw error;
      } finally {
        metrics.count(OUTGOING_LATENCY, CSR, performance.now() - startedAt);
      }
    },
  };
}

interface CallParts extends CaParts {
  readonly told: ToldReasons;
  readonly loadTls: () => Promise<ControlPlaneTls>;
  readonly explain: ExplainFailure;
}

async function signWithRetries(
  csr: string,
  options: CaClientOptions,
  parts: CallParts,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { clock = systemClock, random = Math.random } = parts;
  for (let attempt = 1; ; attempt++) {
    const answer = await attemptSign(csr, options, parts, signal);
    if (!("status" in answer)) {
      parts.told.forget(TELLER);
      return checkedChain(answer);
    }
    if (attempt === ATTEMPTS || !isRetryable(answer.status)) throw await callError(answer, options, parts.explain);
    const waitMs = backoffMs(RETRY, attempt + 1, random);
    parts.metrics.count(OUTGOING_RETRIES, CSR);
    await tellRetry(answer, `ca request failed, starting attempt ${attempt + 1} in ${waitMs.toFixed(0)}ms`, parts);
    await clock.sleep(waitMs, signal);
  }
}

const TELLER = "ca";

/** A warning, unless the reason is the previous one or was already reported for the control plane. */
async function tellRetry(failure: CallFailure, message: string, { log, told, explain }: CallParts): Promise<void> {
  const error = await explained(failure, explain);
  const level = told.isNews(TELLER, error) ? "warn" : "debug";
  const hint = unreachableHint(error);
  log.scope("ca")[level](message, { error, ...(hint === undefined ? {} : { hint }) });
}

async function attemptSign(
  csr: string,
  options: CaClientOptions,
  parts: CallParts,
  signal: AbortSignal,
): Promise<readonly string[] | CallFailure> {
  const tls = isPlaintext(options.endpoint) ? "plaintext" : await parts.loadTls();
  const headers = await callHeaders(options);
  const { callSign } = await import("./sign-call.ts"); // with gRPC, which is not needed before Envoy is spawned
  const log = parts.log.scope("citadelclient");
  return callSign({ ...options, tls, headers, csr, log, deadlineMs: options.attemptMs ?? ATTEMPT_MS }, signal);
}

/** The token is asked for with each attempt; without one the header is left out. */
async function callHeaders(options: CaClientOptions): Promise<CallHeader[]> {
  const token = await options.tokens.fetch();
  return [
    { name: "clusterid", value: options.clusterId, from: "ISTIO_META_CLUSTER_ID" },
    ...headersOf("CA_HEADER_", options.headers),
    ...(token === undefined
      ? []
      : [{ name: "authorization", value: `Bearer ${token.revealText()}`, from: options.tokenFile ?? "credentials" }]),
  ];
}

function checkedChain(chain: readonly string[]): readonly string[] {
  if (chain.length > 1) return chain;
  throw new AgentError(
    "CA_ANSWER_INVALID",
    `create certificate: invalid empty CertChain: the CA answered ${chain.length} certificates, wanted a leaf and a root`,
  );
}

/** The plain reason, and what is known of it here. */
async function explained({ status, details }: CallFailure, explain: ExplainFailure): Promise<string> {
  const reason = plainReason(details);
  const more = await explain({ code: status, reason });
  return more === undefined ? reason : `${reason}; ${more}`;
}

async function callError(
  failure: CallFailure,
  { endpoint }: CaClientOptions,
  explain: ExplainFailure,
): Promise<AgentError> {
  const reason = await explained(failure, explain);
  const text = `create certificate: rpc error: code = ${statusName(failure.status)} desc = ${reason}`;
  if (isRetryable(failure.status)) {
    return new AgentError("CA_UNREACHABLE", text, { hint: `Check that the CA answers at ${endpoint}` });
  }
  return new AgentError("CA_REFUSED", text, {
    hint: "Check the token, its audience, and what the CA allows this workload",
  });
}
