import { type EgressProxy, isProxied } from "../base/index.ts";
import { isOtherName, isUntrusted } from "../grpc/index.ts";
import type { ConnectionPlan } from "./prepare/plan.ts";
import { explainOtherName, explainUntrusted } from "./tls/untrusted.ts";
import { type AskedOfToken, explainRefusedToken } from "./tokens/token-differences.ts";
import { describeTokenTrouble } from "./tokens/token-state.ts";
import type { Tokens } from "./tokens/tokens.ts";

/** How a call to the control plane failed: gRPC's status number, and the plain reason. */
export interface ControlPlaneFailure {
  readonly code: number;
  readonly reason: string;
}

/** What we know of a failure and the control plane does not say, in one line; undefined when nothing. Never rejects. */
export type ExplainFailure = (failure: ControlPlaneFailure) => Promise<string | undefined>;

export interface ExplainOptions {
  readonly plan: Pick<ConnectionPlan, "endpoint" | "roots" | "nameOverride" | "nameSetting">;
  readonly tokens: Tokens;
  readonly asked: AskedOfToken;
  /** Where the token is read from; undefined when it is no file. */
  readonly tokenFile: string | undefined;
  readonly proxy: EgressProxy | undefined;
  readonly now: () => number;
}

/** PERMISSION_DENIED and UNAUTHENTICATED: the caller did not prove who it is, or not well enough. */
export function isRefusal({ code }: Pick<ControlPlaneFailure, "code">): boolean {
  return code === 7 || code === 16;
}

/** Callers try again and again; what is presented does not change that fast. */
const KEPT_MS = 30_000;

export function failureExplainer({ plan, tokens, asked, tokenFile, proxy, now }: ExplainOptions): ExplainFailure {
  let untrusted: { readonly reason: string; readonly atMs: number; readonly text: Promise<string> } | undefined;
  return async ({ code, reason }) => {
    if (isUntrusted(reason)) {
      if (untrusted?.reason !== reason || now() - untrusted.atMs > KEPT_MS) {
        const isBehind = proxy !== undefined && isProxied(plan.endpoint, proxy.except);
        const explain = isOtherName(reason) ? explainOtherName : explainUntrusted;
        untrusted = { reason, atMs: now(), text: explain({ ...plan, isProxied: isBehind }) };
      }
      return untrusted.text;
    }
    if (!isRefusal({ code })) return undefined;
    const state = tokens.state();
    if (state.kind === "opaque") return tokenFile && `the token in "${tokenFile}" is no JWT with an expiry`;
    const claims = tokens.claims();
    const trouble = state.kind === "expiring" ? undefined : describeTokenTrouble(state); // it still holds
    return trouble ?? (claims && explainRefusedToken(claims, asked, now()));
  };
}
