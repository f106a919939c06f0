import { AgentError, describeError, httpRequest, retry, Secret, writeFileAtomically } from "../../base/index.ts";
import type { TokenReading } from "./token-state.ts";

/** How often a Google token is looked at. Source: istio/istio security/pkg/credentialfetcher/plugin/gce.go. */
export const GCE_CHECK_MS = 5 * 60_000;

/** A Google token is fetched again this long before it expires (same source). */
const GCE_GRACE_MS = 25 * 60_000;

const ATTEMPTS = 5;
const REQUEST_TIMEOUT_MS = 5_000;
const MOST_TOKEN_BYTES = 64 * 1_024;

export interface GceOptions {
  readonly path: string;
  readonly trustDomain: string;
  readonly gceMetadataHost?: string;
}

/** A token is fetched again when there is none, when its expiry is unknown, or when less than 25 minutes are left. */
export function needsGceRefresh(reading: TokenReading, nowMs: number): boolean {
  if (reading.kind !== "read" || reading.times === undefined) return true;
  return nowMs > reading.times.expiresAtSeconds * 1_000 - GCE_GRACE_MS;
}

/**
 * A fetcher that asks Google's metadata server for an identity token and keeps a copy in the token file, mode 0600.
 * Fetches run one after the other, so that the file holds the last one. Rejects with TOKEN_UNREADABLE.
 */
export function fetchGceToken(options: GceOptions): () => Promise<Secret | undefined> {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(() => fetchAndStore(options));
    last = next.catch(() => undefined); // the caller gets the failure, the queue only the order
    return next;
  };
}

async function fetchAndStore(options: GceOptions): Promise<Secret | undefined> {
  if (options.path === "") throw new AgentError("TOKEN_UNREADABLE", "jwtPath is unset");
  const body = await fetchToken(options);
  try {
    await writeFileAtomically(options.path, body, { mayCreateFolder: false });
  } catch (error) {
    throw new AgentError("TOKEN_UNREADABLE", `Cannot keep the platform credential: ${describeError(error)}`, {
      cause: error,
    });
  }
  return body.trim() === "" ? undefined : new Secret(body.trim());
}

async function fetchToken(options: GceOptions): Promise<string> {
  const host = options.gceMetadataHost ?? "169.254.169.254";
  // The audience goes in unescaped, as the reference sends it.
  const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/identity?audience=${options.trustDomain}&format=full`;
  try {
    return await retry(() => ask(url), {
      backoff: { initialMs: 100, factor: 2, maxMs: 1_000, jitter: 0.1 },
      attempts: ATTEMPTS,
      signal: AbortSignal.timeout(ATTEMPTS * REQUEST_TIMEOUT_MS),
      isRetryable: (error) => !(error instanceof AgentError),
    });
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw new AgentError(
      "TOKEN_UNREADABLE",
      `Cannot fetch platform credential from "${host}": ${describeError(error)}`,
      { cause: error },
    );
  }
}

async function ask(url: string): Promise<string> {
  const headers = { "Metadata-Flavor": "Google", "User-Agent": "gcloud-golang/0.1" };
  const limits = { timeoutMs: REQUEST_TIMEOUT_MS, mostBytes: MOST_TOKEN_BYTES };
  const answer = await httpRequest(new URL(url), { headers, ...limits });
  const { status } = answer;
  const body = answer.body.toString("utf8");
  if (status === 200) return body;
  if (status >= 500) throw new Error(`the metadata server answered ${status}: ${body}`);
  throw new AgentError(
    "TOKEN_UNREADABLE",
    status === 404
      ? "Cannot fetch platform credential: the metadata server says it is not defined"
      : `Cannot fetch platform credential: the metadata server answered ${status}: ${body}`,
  );
}
