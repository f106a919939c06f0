import type { Exchanges, HeaderLists, HttpAnswer } from "./http-exchange.ts";

export interface FollowingCall {
  readonly exchanges: Exchanges;
  readonly first: URL;
  /** With `host`. */
  readonly headers: HeaderLists;
  /** Whether a redirect may lead to another host, which is not sent credentials. Default: the answer that does is the last. */
  readonly mayLeave?: boolean;
}

/** Source: Go's net/http client, which the reference uses. */
const MOST_REQUESTS = 10;
const FOLLOWED = [301, 302, 303, 307, 308];

/** A GET that follows redirects, up to ten requests; an answer that leads nowhere is the last. Rejects with what failed on the way. */
export async function getFollowing(call: FollowingCall, signal: AbortSignal): Promise<HttpAnswer> {
  const { exchanges, first, headers, mayLeave = false } = call;
  let url = first;
  let sent = headers;
  for (let count = 1; ; count++) {
    const answer = await exchanges.get(url, sent, signal);
    const next = FOLLOWED.includes(answer.status) ? targetOf(answer, url) : undefined;
    if (next === undefined || (next.hostname !== first.hostname && !mayLeave)) return answer;
    if (count >= MOST_REQUESTS) throw new Error(`stopped after ${MOST_REQUESTS} redirects`);
    if (!isRelative(answer.location ?? "")) sent = { ...sent, host: [next.host] };
    if (next.hostname !== first.hostname) sent = withoutCredentials(sent);
    url = next;
  }
}

function withoutCredentials(headers: HeaderLists): HeaderLists {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIALS.includes(name.toLowerCase())));
}

/** Source: Go's net/http client (`shouldCopyHeaderOnRedirect`). */
const CREDENTIALS = ["authorization", "www-authenticate", "cookie", "cookie2"];

function targetOf({ location }: HttpAnswer, from: URL): URL | undefined {
  if (location === undefined || location === "" || !URL.canParse(location, from.href)) return undefined;
  const url = new URL(location, from);
  return url.protocol === "http:" || url.protocol === "https:" ? url : undefined;
}

/** Only then the name that the caller asked for still says who is meant. */
function isRelative(location: string): boolean {
  return !/^[a-z][a-z0-9+.-]*:/i.test(location) && !location.startsWith("//");
}
