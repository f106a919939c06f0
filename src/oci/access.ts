import { type Call, readBody, type Transport } from "../base/index.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Credentials, FindCredentials } from "./credentials.ts";
import { FinalFailure, Refusal } from "./failure.ts";
import { get, refusalOf } from "./get.ts";
import { parseJson } from "./json.ts";
import type { ImageReference } from "./reference.ts";

/** Which token services are asked. */
export interface TokenServiceRules {
  /** Whether a server (`host` or `host:port`) may be asked without TLS. */
  readonly mayBePlain: (host: string) => boolean;
  /** Says why a token service that a registry names is not asked; undefined where it is. Default: each is. */
  readonly refuseRealm?: ((realm: string) => string | undefined) | undefined;
}

/** Keeps what registries have let us in with, by repository: a token is for one. */
export class Access {
  readonly #transport: Transport;
  readonly #findCredentials: FindCredentials;
  readonly #rules: TokenServiceRules;
  readonly #headers = new Map<string, string>();
  readonly #credentials = new Map<string, Promise<Credentials | undefined>>();

  constructor(transport: Transport, findCredentials: FindCredentials, rules: TokenServiceRules) {
    this.#transport = transport;
    this.#rules = rules;
    this.#findCredentials = findCredentials;
  }

  /** The `Authorization` for a repository; undefined before the registry has asked for one. */
  headerFor(reference: ImageReference): string | undefined {
    return this.#headers.get(keyOf(reference));
  }

  /** Does what the registry asks for with 401. Rejects with an Error when that cannot be done. */
  async authorize(reference: ImageReference, challenge: string | undefined, stop: AbortSignal): Promise<string> {
    const challenges = parseChallenges(challenge ?? "");
    const bearers = challenges.filter(({ scheme }) => scheme === "bearer");
    for (const { parameters } of bearers) {
      const why = parameters.realm === undefined ? undefined : this.#rules.refuseRealm?.(parameters.realm);
      if (why !== undefined) throw new FinalFailure(why);
    }
    const [bearer] = bearers;
    const credentials = await this.#credentialsFor(reference.registry, stop);
    const header =
      bearer === undefined
        ? basic(challenges, credentials)
        : `Bearer ${await this.#fetchToken(reference, bearer, credentials, stop)}`;
    this.#headers.set(keyOf(reference), header);
    return header;
  }

  #credentialsFor(registry: string, stop: AbortSignal): Promise<Credentials | undefined> {
    const known = this.#credentials.get(registry) ?? this.#findCredentials(registry, stop);
    this.#credentials.set(registry, known);
    return known;
  }

  /** Source: distribution's docs/spec/auth/token.md and oauth.md. */
  async #fetchToken(
    { registry, repository }: ImageReference,
    { parameters }: Challenge,
    credentials: Credentials | undefined,
    stop: AbortSignal,
  ): Promise<string> {
    const url = tokenService(parameters.realm ?? "", registry, this.#rules.mayBePlain);
    const query = new URLSearchParams({ scope: parameters.scope || `repository:${repository}:pull` });
    if (parameters.service !== undefined) query.set("service", parameters.service);
    const headers = { accept: "application/json" };
    const answer =
      credentials?.kind === "identity"
        ? await this.#transport.send(url, exchange(query, credentials, headers), stop)
        : await get(this.#transport, withQuery(url, query), { headers, authorization: basicOf(credentials) }, stop);
    if (answer.status !== 200) throw await refusalOf(answer, `the token service "${url.origin}"`);
    return readToken(await readBody(answer.body, MOST_TOKEN_BYTES), url.origin);
  }
}

const MOST_TOKEN_BYTES = 1_048_576;

function keyOf({ registry, repository }: ImageReference): string {
  return `${registry}/${repository}`;
}

function basic(challenges: readonly Challenge[], credentials: Credentials | undefined): string {
  const header = basicOf(credentials);
  if (header !== undefined && challenges.some(({ scheme }) => scheme === "basic")) return header;
  const schemes = challenges.map(({ scheme }) => scheme).join(", ") || "nothing";
  throw new Refusal(401, `it wants to know who asks (${schemes}), and there is no password for it`);
}

function basicOf(credentials: Credentials | undefined): string | undefined {
  if (credentials?.kind !== "password") return undefined;
  const pair = `${credentials.user}:${credentials.password.revealText()}`;
  return `Basic ${Buffer.from(pair).toString("base64")}`;
}

/** Where passwords are sent: never in the clear, but where the registry itself may be asked so. */
function tokenService(realm: string, registry: string, isPlainFine: TokenServiceRules["mayBePlain"]): URL {
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  if (url === undefined) throw new FinalFailure(`it names "${realm}" as its token service, which is no URL`);
  const mayBePlain = isPlainFine(registry) && isPlainFine(url.host);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && mayBePlain)) {
    throw new FinalFailure(`its token service "${url.origin}" is not encrypted`);
  }
  return url;
}

function withQuery(url: URL, query: URLSearchParams): URL {
  const all = new URL(url);
  for (const [name, value] of query) all.searchParams.append(name, value);
  return all;
}

/** Source: RFC 6749 section 6, as distribution's docs/spec/auth/oauth.md has it. */
function exchange(
  query: URLSearchParams,
  { token }: Credentials & { readonly kind: "identity" },
  headers: Readonly<Record<string, string>>,
): Call {
  const form = new URLSearchParams(query);
  form.set("grant_type", "refresh_token");
  form.set("client_id", "pilotboat");
  form.set("refresh_token", token.revealText());
  const body = form.toString();
  const type = "application/x-www-form-urlencoded";
  const length = String(Buffer.byteLength(body));
  return { method: "POST", headers: { ...headers, "content-type": type, "content-length": length }, body };
}

function readToken(body: Buffer, service: string): string {
  const found = parseJson(body);
  const token = found?.token || found?.access_token;
  if (typeof token === "string" && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new FinalFailure(`the token service "${service}" answered without a token`);
}
