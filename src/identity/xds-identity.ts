import { type Clock, type Logger, systemClock, watchPaths } from "../base/index.ts";
import { type ControlPlaneTls, controlPlaneTlsLoader, isPlaintext } from "./control-plane-tls.ts";
import type { ConnectionPlan } from "./prepare/plan.ts";
import type { Tokens } from "./tokens/tokens.ts";

export interface XdsIdentityOptions {
  readonly plan: ConnectionPlan;
  /** `COMPLIANCE_POLICY`; empty for none. */
  readonly compliance: string;
  readonly tokens: Tokens;
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
}

/**
 * Starts watching the root file, to tell of changes; nothing else is read before it is asked for. A running connection
 * was verified when it was made and is left alone, as in Istio.
 */
export async function xdsIdentity(options: XdsIdentityOptions): Promise<XdsIdentity> {
  const { plan, compliance, tokens, clock = systemClock } = options;
  const log = options.log.scope("xdsproxy");
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
      if (plan.isPlaintext && !isPlaintext(plan.endpoint)) return []; // a token is never sent in clear by accident
      const token = await tokens.fetch();
      return token === undefined ? [] : [["authorization", `Bearer ${token.revealText()}`]];
    },
    [Symbol.asyncDispose]: () => watching[Symbol.asyncDispose](),
  };
}
