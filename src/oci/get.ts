import { type Answer, escapeLine, readBody, type Transport } from "../base/index.ts";
import { FinalFailure, Refusal } from "./failure.ts";
import { asArray, asObject, parseJson } from "./json.ts";
import { isLoopback } from "./loopback.ts";

export interface GetWords {
  readonly headers: Readonly<Record<string, string>>;
  /** Sent to the origin of the first URL only. */
  readonly authorization: string | undefined;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MOST_REDIRECTS = 5;

/**
 * GET that follows redirects, as registries send them to the storage of their blobs. Once another origin is reached, the
 * authorization stays behind. Resolves with any other answer; rejects with an Error.
 */
export async function get(transport: Transport, url: URL, words: GetWords, stop: AbortSignal): Promise<Answer> {
  let at = url;
  let isHome = true;
  for (let redirects = 0; ; redirects++) {
    isHome &&= at.origin === url.origin;
    const own = isHome && words.authorization !== undefined ? { authorization: words.authorization } : {};
    const answer = await transport.send(at, { headers: { ...words.headers, ...own } }, stop);
    const { location } = answer.headers;
    if (!REDIRECTS.has(answer.status) || location === undefined) return answer;
    answer.drop();
    if (redirects === MOST_REDIRECTS) throw new FinalFailure(`stopped after ${MOST_REDIRECTS} redirects`);
    at = nextOf(location, at);
  }
}

function nextOf(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) throw new FinalFailure(`"${from.origin}" redirects to what is no URL`);
  const next = new URL(location, from);
  const mayBePlain = from.protocol === "http:" && isLoopback(next.host);
  if (next.protocol !== "https:" && !(next.protocol === "http:" && mayBePlain)) {
    throw new FinalFailure(`"${from.origin}" redirects to "${next.origin}", which is not encrypted`);
  }
  next.username = ""; // they would become an authorization
  next.password = "";
  return next;
}

const MOST_ERROR_BYTES = 65_536;
const MOST_SHOWN = 300;

/** What a registry's answer says, which is read to its end. `from` is its sender. Source: distribution-spec, "Error Codes". */
export async function refusalOf(answer: Answer, from: string): Promise<Refusal> {
  const body = await readBody(answer.body, MOST_ERROR_BYTES).catch(() => Buffer.alloc(0)); // the status says enough
  const said = asArray(parseJson(body)?.errors).map((one) => {
    const { code, message } = asObject(one) ?? {};
    return [code, message].filter((part) => typeof part === "string" && part !== "").join(": ");
  });
  const text = escapeLine(said.join("; ")).slice(0, MOST_SHOWN);
  const waitMs = waitOf(answer.headers["retry-after"]);
  const wait = waitMs === undefined ? "" : `, and asks to wait ${Math.ceil(waitMs / 1_000)} s`;
  return new Refusal(
    answer.status,
    `${from} answered ${answer.status}${text === "" ? "" : ` (${text})`}${wait}`,
    waitMs,
  );
}

/** Source: RFC 9110 section 10.2.3: seconds, or a date. */
function waitOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
