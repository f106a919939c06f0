import { access } from "node:fs/promises";
import { createMetrics, type Secret, silentLogger } from "../../base/index.ts";
import {
  type AskedOfToken,
  startTokens,
  type TokenState,
  type Tokens,
  tokenDifferences,
} from "../../identity/index.ts";
import { credentialFiles } from "../cluster/index.ts";

/** The token in a run folder, as the agent would read it. */
export interface Credentials extends AsyncDisposable {
  readonly rootFile: string;
  hasRoot(): Promise<boolean>;
  readonly tokens: Tokens;
  token(): Promise<{
    readonly secret: Secret | undefined;
    readonly state: TokenState;
    /** Each as the rest of a sentence that begins with "the token". */
    readonly differences: readonly string[];
    /** `of shop/cart, for istio-ca, by https://…`. */
    readonly whose: string;
  }>;
}

export function openCredentials(folder: string, asked: AskedOfToken, stop: AbortSignal): Credentials {
  const files = credentialFiles(folder);
  const parts = { log: silentLogger, metrics: createMetrics("doctor_") };
  const tokens = startTokens({ fetcher: "", path: files.token, trustDomain: "", ...parts }, stop);
  return {
    rootFile: files.root,
    hasRoot: () =>
      access(files.root).then(
        () => true,
        () => false,
      ),
    tokens,
    async token() {
      const secret = await tokens.fetch();
      const claims = tokens.claims();
      const { subject = "", audiences = [], issuer = "" } = claims ?? {};
      return {
        secret,
        state: tokens.state(),
        differences: claims === undefined ? [] : tokenDifferences(claims, asked, Date.now()),
        whose: `of ${subject.replace("system:serviceaccount:", "account ")}, for ${audiences.join(" and ") || "nobody"}, by ${issuer}`,
      };
    },
    [Symbol.asyncDispose]: () => tokens[Symbol.asyncDispose](),
  };
}
