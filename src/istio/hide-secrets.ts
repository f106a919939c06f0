import { HIDDEN, hideShapes } from "../base/index.ts";

/** A document without its secrets, and the texts that were taken out of it. */
export interface Cleaned {
  readonly document: unknown;
  readonly hidden: ReadonlySet<string>;
}

/**
 * Hides what a bootstrap, a configuration or node metadata may hold of secrets: every value below a name that speaks of
 * one (`access_token`, `private_key`, `secrets`, ...), values of headers and pairs with such a name, and in all other
 * texts what looks like one. Rather too much than too little; names of files stay, because where a key lies is what one
 * wants to know.
 */
export function hideSecrets(document: unknown): Cleaned {
  const hidden = new Set<string>();
  return { document: clean(document, "", { isSecret: false, isMetadata: false }, hidden), hidden };
}

/** The same for a list or object of node metadata, whose names are anybody's. */
export function hideMetadataSecrets(metadata: unknown): unknown {
  return clean(metadata, "", { isSecret: false, isMetadata: true }, new Set());
}

/** Whether the value of a variable or metadata entry of this name should not be shown. */
export function isSecretName(name: string): boolean {
  if (!SPEAKS_OF_SECRETS.test(name)) return false; // nearly all of them: what follows costs more
  const own = name.replace(/^ISTIO_META_/, "");
  const isKey = /[_-]key$/i.test(snake(own)) && !FILE_KEY.test(own);
  return (SECRET_NAME.test(snake(own)) || SECRET_WORD.test(snake(own)) || isKey) && !isHarmless(own);
}

/** Whether the value of this header should not be shown. */
export function isSecretHeader(name: string): boolean {
  return SECRET_PAIR.test(name) && !name.startsWith(":"); // `:authority` says where to
}

/** The same for a text without structure, where also the given texts are hidden. */
export function hideSecretsInText(text: string, known: ReadonlySet<string> = new Set()): string {
  const longestFirst = [...known].filter(isTelling).sort((a, b) => b.length - a.length);
  return hideShapes(longestFirst.reduce((rest, secret) => rest.replaceAll(secret, HIDDEN), text));
}

/** A part of every name that `SECRET_NAME`, `SECRET_WORD` or `SECRET_VARIABLE` fits. */
const SPEAKS_OF_SECRETS = /token|pass|pat$|secret|credential|key|authoriz|cookie/i;
const SECRET_NAME = /token|passw(or)?d|passphrase|secret|credential|api_?key|private_?key|ticket_?key|authoriz|cookie/i;
/** Only as the last word of a variable: `GITHUB_PAT`. */
const SECRET_WORD = /(^|[_-])(pat|pass)$/i;
/** What is below these may be random, and is no secret. */
const PUBLIC_NAME = /spki|hash|digest|sha\d|fingerprint|checksum|nonce|version|revision|serial|etag|certificate/i;
/** These speak of secrets but hold none: places, kinds, and how to ask an SDS server. */
const HARMLESS_NAME =
  /(_|^)(file|filename|path|dir|directory|size|type|name|url|uri|provider|cluster|environment_variable|duration|timeout)$|secret_configs?$|^@type$/i;
/** Istio's own names of files in metadata. */
const FILE_KEY = /^TLS_(CLIENT|SERVER)_KEY$/;
/** Metadata is named as variables are. In Envoy's own fields, as in `runtime_key`, a key is mostly a name. */
const SECRET_VARIABLE = /^[A-Z0-9_]+_KEY$/;
/**
 * Envoy's own fields that speak of secrets and hold limits, conditions and names: type/v3/token_bucket.proto, the OAuth2, JWT
 * and ext_authz filters of extensions/filters/http.
 */
const ORDINARY_FIELD =
  /^((\w+_)?token_bucket(_config)?|(max|min|remaining|initial)_tokens|tokens_per_fill|cookie_(configs?|domain)|\w+_cookie_config|from_cookies|authorization_(endpoint|request|response))$/i;
/** What describes a cookie without its value: config/route/v3 HashPolicy.Cookie, type/http/v3/cookie.proto. */
const COOKIE_FIELDS = new Set(["name", "ttl", "path", "attributes"]);
/** Of a pair the value, and the conditions on it: config/route/v3 HeaderMatcher and QueryParameterMatcher, also as they were before. */
const PAIR_VALUE =
  /^((raw_?)?(value|string_?value|bytes_?value)|string_?match|(exact|prefix|suffix|contains|safe_?regex|regex)_?match)$/i;
const SECRET_PAIR =
  /auth|cookie|token|key|secret|passw|(^|[-_])(api|pat|pass|sig(nature)?|session|jwt|bearer|credentials?)$/i;
/** No bytes in base64 have a dot. */
const FILE = /^\.{0,2}\/[\w./-]*\.[a-z]{1,8}$/i;

/** What stands around a value. */
interface Around {
  readonly isSecret: boolean;
  readonly isMetadata: boolean;
}

function clean(value: unknown, name: string, around: Around, hidden: Set<string>): unknown {
  if (Array.isArray(value)) return value.map((item) => clean(item, name, around, hidden));
  if (typeof value === "object" && value !== null) return cleanObject(value, around, hidden);
  if (value === null || typeof value === "boolean" || ["", "true", "false"].includes(String(value))) return value;
  if (around.isSecret && !isHarmless(name) && !FILE.test(String(value))) return hide(String(value), hidden);
  if (typeof value !== "string") return value;
  return hideShapes(value, () => PUBLIC_NAME.test(snake(name)));
}

function cleanObject(object: object, around: Around, hidden: Set<string>): Record<string, unknown> {
  const { key, name, header } = object as Record<string, unknown>;
  const isSecretPair = [key, name, header].some((word) => typeof word === "string" && isSecretHeader(word));
  const entries = Object.entries(object).map(([member, value]): [string, unknown] => {
    const isValue = isSecretPair && PAIR_VALUE.test(member);
    const isSecret =
      around.isSecret || isValue || (isSecretMember(member, around) && !isCookieDescription(member, value));
    const isMetadata = around.isMetadata || (/^(proxy_?)?metadata$/i.test(member) && !isMetadataReference(value));
    return [member, clean(value, member, { isSecret, isMetadata }, hidden)];
  });
  return Object.fromEntries(entries);
}

/** Of a tag or an action of Envoy's, which says where in metadata a value is: envoy api/envoy/type/metadata/v3/metadata.proto. */
function isMetadataReference(value: unknown): boolean {
  return typeof value === "object" && value !== null && ("metadataKey" in value || "metadata_key" in value);
}

function isSecretMember(member: string, { isMetadata }: Around): boolean {
  if (isMetadata) return isSecretName(member);
  if (!SPEAKS_OF_SECRETS.test(member)) return false;
  const isVariable = SECRET_VARIABLE.test(member) && !FILE_KEY.test(member);
  if (!isVariable && !SECRET_NAME.test(snake(member))) return false;
  return !isHarmless(member) && !ORDINARY_FIELD.test(snake(member));
}

/** A cookie that Envoy makes or looks for; its value is not in the configuration. */
function isCookieDescription(member: string, value: unknown): boolean {
  if (member !== "cookie" || typeof value !== "object" || value === null) return false;
  return "name" in value && Object.keys(value).every((field) => COOKIE_FIELDS.has(field));
}

/** Envoy takes both spellings of a field. */
function snake(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, "$1_$2");
}

function isHarmless(name: string): boolean {
  return HARMLESS_NAME.test(snake(name));
}

function hide(text: string, hidden: Set<string>): string {
  hidden.add(text);
  return HIDDEN;
}

/** One word of a command line without its secrets: `--config-yaml` takes a whole document, mostly JSON. */
export function hideSecretsInWord(word: string): string {
  const document = /^\s*[{[]/.test(word) ? parse(word) : undefined;
  return document === undefined ? hideSecretsInText(word) : JSON.stringify(hideSecrets(document).document);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Every text of a document without what `known` holds, and without what looks like a secret. */
export function hideSecretsInTexts(value: unknown, known: ReadonlySet<string>): unknown {
  if (typeof value === "string") return hideSecretsInText(value, known);
  if (Array.isArray(value)) return value.map((item) => hideSecretsInTexts(item, known));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, hideSecretsInTexts(item, known)]));
}

/** Shorter ones are words that stand in every log. */
const LEAST_TELLING = 6;

function isTelling(secret: string): boolean {
  return secret.length >= LEAST_TELLING;
}
