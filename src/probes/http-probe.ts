import type { Exchanges, HeaderLists, HttpAnswer } from "./http-exchange.ts";

export interface HttpProbeCall {
  readonly exchanges: Exchanges;
  readonly first: URL;
  /** The caller's, with its `Host`. */
  readonly headers: HeaderLists;
}

/** Source: Go's net/http client, which the reference uses. */
const MOST_REQUESTS = 10;
const FOLLOWED = [301, 302, 303, 307, 308];

/**
 * A GET that follows redirects on the application's own host; the first answer that leads elsewhere, or nowhere, is the
 * last. Rejects with what failed on the way.
 */
export async function getFollowing(
  { exchanges, first, headers }: HttpProbeCall,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  let url = first;
  let sent = headers;
  for (let count = 1; ; count++) {
    const answer = await exchanges.get(url, sent, signal);
    const next = FOLLOWED.includes(answer.status) ? targetOf(answer, url) : undefined;
    if (next === undefined || next.hostname !== first.hostname) return answer;
    if (count >= MOST_REQUESTS) throw new Error(`stopped after ${MOST_REQUESTS} redirects`);
    if (!isRelative(answer.location ?? "")) sent = { ...sent, host: [next.host] };
    url = next;
  }
}

function targetOf({ location }: HttpAnswer, from: URL): URL | undefined {
  if (location === undefined || location === "" || !URL.canParse(location, from.href)) return undefined;
  const url = new URL(location, from);
  return url.protocol === "http:" || url.protocol === "https:" ? url : undefined;
}

/** Only then the name that the caller asked for still says who is meant. */
function isRelative(location: string): boolean {
  return !/^[a-z][a-z0-9+.-]*:/i.test(location) && !location.startsWith("//");
}
