import {
  AgentError,
  type Clock,
  describeError,
  type Logger,
  type Metrics,
  Secret,
  systemClock,
} from "../../base/index.ts";
import { fetchGceToken, GCE_CHECK_MS, needsGceRefresh } from "./gce.ts";
import type { TokenClaims } from "./jwt.ts";
import { TOKEN_EXPIRY } from "./metrics.ts";
import { readTokenFile } from "./token-file.ts";
import { describeTokenTrouble, type TokenReading, type TokenState, tokenState } from "./token-state.ts";

/** Where tokens come from. `CREDENTIAL_FETCHER_TYPE`: empty or `JWT`, `GoogleComputeEngine`, `Mock`. */
export interface TokensOptions {
  readonly fetcher: string;
  /** Absolute path of the token file; the Google fetcher writes it, the JWT fetcher reads it. */
  readonly path: string;
  /** Audience that the Google fetcher asks for. */
  readonly trustDomain: string;
  /** `GCE_METADATA_HOST`: `host` or `host:port`. Default 169.254.169.254. */
  readonly gceMetadataHost?: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}

/** Hands out the token that authenticates us to the CA and to istiod. */
export interface Tokens extends AsyncDisposable {
  /**
   * The token as it is now, asked for anew with each call. Undefined when there is none: the call then goes out
   * without it, because a client certificate may do. Only the Google fetcher rejects (TOKEN_UNREADABLE).
   */
  fetch(): Promise<Secret | undefined>;
  /** What is known of the token, with the time that is left. */
  state(): TokenState;
  /** Whom the token is for, as of the last read; undefined where there was none. */
  claims(): TokenClaims | undefined;
}

const CHECK_MS = 60_000;

function emptyToken({ fetcher, path }: TokensOptions): string {
  return fetcher === "GoogleComputeEngine" ? "the token is empty" : `the token in "${path}" is empty`;
}

/** Starts watching over the token: an expired or soon expiring one is logged once and counted. Throws CONFIG_INVALID. */
export function startTokens(options: TokensOptions, stop: AbortSignal): Tokens {
  const { log, clock = systemClock } = options;
  const read = fetcherOf(options);
  const closing = new AbortController();
  const signal = AbortSignal.any([stop, closing.signal]);
  let reading: TokenReading = { kind: "none" };
  let shown = "";

  const note = (next: TokenReading): void => {
    reading = next;
    const state = tokenState(next, clock.now());
    const trouble = describeTokenTrouble(state);
    const line = trouble === undefined ? "" : `${state.kind} ${next.kind === "missing" ? next.reason : ""}`;
    if (line === shown) return;
    shown = line;
    if (trouble === undefined) log.info("token is usable again");
    else if (state.kind === "missing") log.warn("failed to fetch token from file", { error: trouble });
    else log.warn("token is not being replaced", { state: state.kind, reason: trouble });
  };

  const noteMissing = (reason: string): void => {
    note({ kind: "missing", reason, sinceMs: reading.kind === "missing" ? reading.sinceMs : clock.now() });
  };

  const fetch = async (): Promise<Secret | undefined> => {
    try {
      const token = await read();
      if (token === undefined) noteMissing(emptyToken(options));
      else note(await readingOf(token));
      return token;
    } catch (error) {
      noteMissing(describeError(error));
      if (options.fetcher === "GoogleComputeEngine") throw error;
      return undefined;
    }
  };

  const watch = async (): Promise<void> => {
    while (!signal.aborted) {
      const isGce = options.fetcher === "GoogleComputeEngine";
      await clock.sleep(isGce ? GCE_CHECK_MS : CHECK_MS, signal);
      if (isGce && !needsGceRefresh(reading, clock.now())) continue;
      await fetch().catch(() => undefined); // noted and logged; the next round tries again
    }
  };
  const watching = watch().catch(() => undefined); // ends by `signal` only

  options.metrics.gauge(TOKEN_EXPIRY, () => {
    const state = tokenState(reading, clock.now());
    return "leftMs" in state ? state.leftMs / 1_000 : undefined;
  });
  return {
    fetch,
    state: () => tokenState(reading, clock.now()),
    claims: () => (reading.kind === "read" ? reading.claims : undefined),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await watching;
    },
  };
}

async function readingOf(token: Secret): Promise<TokenReading> {
  const { readClaims, readJwtTimes } = await import("./jwt.ts"); // with jose, which is not needed before Envoy is spawned
  return { kind: "read", times: readJwtTimes(token.revealText()), claims: readClaims(token.revealText()) };
}

function fetcherOf(options: TokensOptions): () => Promise<Secret | undefined> {
  switch (options.fetcher) {
    case "":
    case "JWT":
      return () => readTokenFile(options.path);
    case "GoogleComputeEngine":
      return fetchGceToken(options);
    case "Mock":
      return async () => new Secret("test_token");
    default:
      throw new AgentError("CONFIG_INVALID", `invalid credential fetcher type ${options.fetcher}`, {
        hint: "CREDENTIAL_FETCHER_TYPE is JWT, GoogleComputeEngine or Mock",
      });
  }
}
