import { joinHostPort } from "../base/index.ts";
import { createExchanges, type Exchanges, getFollowing } from "../exchange/index.ts";
import { bareHost } from "./bare-host.ts";
import type { ProbeMethod } from "./workload-probe.ts";

export type HttpMethod = Extract<ProbeMethod, { kind: "http" }>;

/** The host is that of the method, or the proxy's. */
export interface HttpPlace {
  readonly host: string;
  /** Own address of the connections; undefined leaves it to the kernel. */
  readonly source: string | undefined;
}

/** Where it cannot be asked at all: the path is none. */
export class UnknownError extends Error {}

/** Rejects with why the workload is not healthy, or the reason of `signal`. */
export async function askHttp(method: HttpMethod, { host, source }: HttpPlace, signal: AbortSignal): Promise<void> {
  const scheme = method.isSecure ? "https" : "http";
  const first = new URL(`${scheme}://${joinHostPort(host, method.port)}${targetOf(method.path)}`);
  const headers = { host: [first.host], "user-agent": ["istio-probe/1.0"], ...given(method.headers) };
  const exchanges: Exchanges = {
    get(url, sent, until) {
      const bare = bareHost(url.hostname);
      const destination = { host: bare, address: bare, source };
      const words = { destination, offersHttp2: false, keepsAlive: false, wantsBody: false };
      return createExchanges(words).get(url, sent, until);
    },
  };
  const { status } = await getFollowing({ exchanges, first, headers, mayLeave: true }, signal);
  if (status < 200 || status >= 400) throw new Error(`status code was not from [200,400), bad code ${status}`);
}

/** Path and query. One that is a whole URL counts without its host. Source: Go's net/url (`Parse`). */
function targetOf(path: string): string {
  const [before = ""] = path.split(/[?#]/);
  const wrong = /%(?![0-9a-f]{2}).{0,2}/i.exec(before)?.[0];
  if (wrong !== undefined) throw new UnknownError(`parse ${JSON.stringify(path)}: invalid URL escape "${wrong}"`);
  if (CONTROL.test(path)) throw new UnknownError(`parse ${JSON.stringify(path)}: invalid control character in URL`);
  if (/^([a-z][a-z0-9+.-]*:)?\/\//i.test(path) && URL.canParse(path, "http://none")) {
    const { pathname, search } = new URL(path, "http://none");
    return pathname + search;
  }
  return path.startsWith("/") ? path : `/${path}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what Go refuses
const CONTROL = /[\0-\x1f\x7f]/;

/** The client writes them itself. Source: Go's net/http (`reqWriteExcludeHeader`). */
const OWN = ["content-length", "transfer-encoding", "trailer"];

/** By lower-case name; a name that is there several times has several values, but for the host, which there is one of. */
function given(headers: HttpMethod["headers"]): Record<string, string[]> {
  const lists: Record<string, string[]> = Object.create(null); // the mesh chooses the names
  for (const { name, value } of headers) {
    const key = name.toLowerCase();
    if (OWN.includes(key) || (key === "host" && key in lists)) continue;
    lists[key] = [...(lists[key] ?? []), value];
  }
  return { ...lists };
}
