import { type Clock, type EgressProxy, type Logger, systemClock, watchPaths } from "../base/index.ts";
import { type ExplainFailure, failureExplainer, isRefusal } from "./explain-failure.ts";
import type { ConnectionPlan } from "./prepare/plan.ts";
import { type ControlPlaneTls, controlPlaneTlsLoader, isPlaintext } from "./tls/control-plane-tls.ts";
import type { AskedOfToken } from "./tokens/token-differences.ts";
import type { Tokens } from "./tokens/tokens.ts";

export interface XdsIdentityOptions {
  readonly plan: ConnectionPlan;
  /** `COMPLIANCE_POLICY`; empty for none. */
  readonly compliance: string;
  readonly tokens: Tokens;
  readonly asked: AskedOfToken;
  /** Where the token is read from; undefined when it is no file. */
  readonly tokenFile: string | undefined;
  /** Default: none. */
  readonly proxy?: EgressProxy | undefined;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** What the connection to istiod is secured with; everything is read anew with each call. */
export interface XdsIdentity extends AsyncDisposable {
  /** Rejects with ROOT_CA_UNUSABLE. */
  tls(): Promise<"plaintext" | ControlPlaneTls>;
  /**
   * `authorization` when there is a token; without TLS only towards port 15010, where Istio wants it so. Rejects with
   * TOKEN_UNREADABLE (Google's fetcher only).
   */
  metadata(): Promise<[string, string][]>;
  /** What is known here of a failure and istiod does not say. */
  readonly explain: ExplainFailure;
}

/**
 * Starts watching the root file, to tell of changes; nothing else is read before it is asked for. A running connection
 * was verified when it was made and is left alone, as in Istio.
 */
export async function xdsIdentity(options: XdsIdentityOptions): Promise<XdsIdentity> {
  const { plan, compliance, tokens, asked, tokenFile, proxy, clock = systemClock } = options;
  const log = options.log.scope("xdsproxy");
  const withheld = whyWithheld(plan);
  if (withheld !== undefined) log.warn(withheld, { endpoint: plan.endpoint, hint: WITHHELD_HINT });
  else if (plan.isPlaintext) log.warn(IN_CLEAR, { endpoint: plan.endpoint });
  const explain = failureExplainer({ plan, tokens, asked, tokenFile, proxy, now: () => clock.now() });
  const loadTls = controlPlaneTlsLoader({ ...plan, compliance, log, now: () => clock.now() });
  const watching = await watchPaths({
    paths: plan.isPlaintext || plan.roots.kind === "system" ? [] : [plan.roots.path],
    onChange: () =>
      log.info("root certificate of the control plane changed, connections from now on are verified by it"),
    onTrouble: (error) => log.warn("Failed to add file watcher, polling instead", { error }),
  });
  return {
    async tls() {
      return plan.isPlaintext ? "plaintext" : loadTls();
    },
    async metadata() {
      if (withheld !== undefined) return [];
      const token = await tokens.fetch();
      return token === undefined ? [] : [["authorization", `Bearer ${token.revealText()}`]];
    },
    explain: async (failure) => (withheld !== undefined && isRefusal(failure) ? withheld : explain(failure)),
    [Symbol.asyncDispose]: () => watching[Symbol.asyncDispose](),
  };
}

/** The mesh file or an annotation can cause this, so it is a warning, as it is for the CA. */
const IN_CLEAR =
  "Debug mode or IP-secure network: the control plane is asked without TLS, and the token goes unencrypted";
const WITHHELD_HINT = "Use the control plane's port 15010, or TLS: controlPlaneAuthPolicy MUTUAL_TLS";

/** A token is never sent in clear by accident: without TLS only to the port that is meant for it. */
function whyWithheld(plan: ConnectionPlan): string | undefined {
  if (!plan.isPlaintext || isPlaintext(plan.endpoint)) return undefined;
  return "the token is not sent: controlPlaneAuthPolicy NONE means no TLS, and the port is not 15010";
}
