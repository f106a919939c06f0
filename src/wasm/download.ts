import { AgentError, type Answer, describeError, Retries, startLimit, type Transport } from "../base/index.ts";
import type { StagedModule } from "./module-files.ts";
import { TooLarge, unpacked } from "./unpack.ts";

export interface DownloadOptions {
  readonly transport: Transport;
  /** Of one attempt. */
  readonly timeoutMs: number;
  /** In all. */
  readonly attempts: number;
  /** Of the module, packed or not. */
  readonly mostBytes: number;
}

const MOST_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Errors of a server that trying again does not mend. */
const FINAL_ERRORS: ReadonlySet<number> = new Set([501, 505, 511]);
const BACKOFF = { initialMs: 500, factor: 1.5, maxMs: 60_000, jitter: 0.5 };

/** Trying again does not mend it. */
class FinalFailure extends Error {}
const FINAL = [FinalFailure, TooLarge, AgentError]; // the last one is about the disk

/**
 * Fetches a module over HTTP and hands its bytes, unpacked, to `stage`, for each attempt anew. Rejects in Istio's words, with
 * the last failure; a cut connection and errors of the server are tried again. Source: istio/istio pkg/wasm/httpfetcher.go.
 */
export async function download(
  url: string,
  options: DownloadOptions,
  stage: (pieces: AsyncIterable<Uint8Array>) => Promise<StagedModule>,
  stop: AbortSignal,
): Promise<StagedModule> {
  const { attempts } = options;
  const isRetryable = (error: unknown): boolean => !stop.aborted && !FINAL.some((kind) => error instanceof kind);
  const retries = new Retries({ backoff: BACKOFF, attempts, signal: stop, isRetryable });
  let [made, last]: [number, unknown] = [0, undefined];
  try {
    while (made < attempts) {
      made++;
      try {
        return await attempt(url, options, stage, stop);
      } catch (error) {
        last = error;
        await retries.afterFailure(error);
      }
    }
  } catch (error) {
    last ??= error;
  }
  const why = last === undefined ? "no attempt is allowed" : describeError(last);
  const cause = stop.aborted && stop.reason !== last ? stop.reason : undefined;
  throw new Error(`wasm module download failed after ${made} attempts, last error: ${why}`, { cause });
}

async function attempt(
  url: string,
  { transport, timeoutMs, mostBytes }: DownloadOptions,
  stage: (pieces: AsyncIterable<Uint8Array>) => Promise<StagedModule>,
  stop: AbortSignal,
): Promise<StagedModule> {
  using limit = startLimit(
    stop,
    timeoutMs,
    () => new Error(`it took longer than ${timeoutMs} ms (WASM_HTTP_REQUEST_TIMEOUT)`),
  );
  const answer = await follow(transport, new URL(url), limit.signal);
  if (answer.status !== 200) {
    answer.drop();
    const text = `wasm module download request failed: status code ${answer.status}`;
    throw answer.status >= 500 && !FINAL_ERRORS.has(answer.status) ? new Error(text) : new FinalFailure(text);
  }
  try {
    return await stage(unpacked(answer.body, mostBytes));
  } catch (error) {
    answer.drop(); // a full disk leaves it unread
    throw error;
  }
}

async function follow(transport: Transport, url: URL, stop: AbortSignal): Promise<Answer> {
  let at = url;
  for (let redirects = 0; ; redirects++) {
    const headers = { "accept-encoding": "identity", ...authorizationOf(at) };
    const answer = await transport.send(withoutLogin(at), { headers }, stop);
    const { location } = answer.headers;
    if (!REDIRECTS.has(answer.status) || location === undefined) return answer;
    answer.drop();
    if (redirects === MOST_REDIRECTS) throw new FinalFailure(`stopped after ${MOST_REDIRECTS} redirects`);
    if (!URL.canParse(location, at.href)) throw new FinalFailure(`"${at.origin}" redirects to what is no URL`);
    const next = new URL(location, at);
    if (!/^https?:$/.test(next.protocol)) throw new FinalFailure(`"${at.origin}" redirects to "${next.protocol}"`);
    at = next;
  }
}

/** A login in the URL, as Go's client sends it. */
function authorizationOf({ username, password }: URL): Record<string, string> {
  if (username === "" && password === "") return {};
  const pair = `${decoded(username)}:${decoded(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}

/** What is no escape is taken as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function withoutLogin(url: URL): URL {
  const plain = new URL(url);
  plain.username = "";
  plain.password = "";
  return plain;
}
