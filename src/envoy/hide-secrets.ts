const HIDDEN = "[hidden]";

/** A document without its secrets, and the texts that were taken out of it. */
export interface Cleaned {
  readonly document: unknown;
  readonly hidden: ReadonlySet<string>;
}

/**
 * Hides what a bootstrap may hold of secrets: every value below a name that speaks of one (`access_token`,
 * `private_key`, `secrets`, ...), values of headers and pairs with such a name, and in all other texts what looks like
 * one. Rather too much than too little; names of files stay, because where a key lies is what one wants to know.
 */
export function hideSecrets(document: unknown): Cleaned {
  const hidden = new Set<string>();
  return { document: clean(document, "", false, hidden), hidden };
}

/** The same for a text without structure, where also the given texts are hidden. */
export function hideSecretsInText(text: string, known: ReadonlySet<string> = new Set()): string {
  const longestFirst = [...known].filter(isTelling).sort((a, b) => b.length - a.length);
  return hideShapes(longestFirst.reduce((rest, secret) => rest.replaceAll(secret, HIDDEN), text));
}

const SECRET_NAME = /token|passw(or)?d|passphrase|secret|credential|api_?key|private_?key|ticket_?key|authoriz|cookie/i;
/** These speak of secrets but hold none: places, kinds, and how to ask an SDS server. */
const HARMLESS_NAME =
  /(_|^)(file|filename|path|dir|directory|size|type|name|url|uri|provider|cluster|environment_variable|duration|timeout)$|secret_configs?$|^@type$/i;
/** Metadata is named as variables are. Istio's own TLS_CLIENT_KEY and TLS_SERVER_KEY are names of files. */
const SECRET_VARIABLE = /^(?!TLS_(CLIENT|SERVER)_KEY$)[A-Z0-9_]+_KEY$/;
const SECRET_PAIR = /auth|cookie|token|key|secret|passw/i;

function clean(value: unknown, name: string, isSecret: boolean, hidden: Set<string>): unknown {
  if (Array.isArray(value)) return value.map((item) => clean(item, name, isSecret, hidden));
  if (typeof value === "object" && value !== null) return cleanObject(value, isSecret, hidden);
  if (value === null || typeof value === "boolean" || value === "") return value;
  if (isSecret && !isHarmless(name)) return hide(String(value), hidden);
  return typeof value === "string" ? hideShapes(value) : value;
}

function cleanObject(object: object, isSecret: boolean, hidden: Set<string>): Record<string, unknown> {
  const { key, name, header } = object as Record<string, unknown>;
  const isSecretPair = [key, name, header].some((word) => typeof word === "string" && SECRET_PAIR.test(word));
  const entries = Object.entries(object).map(([member, value]): [string, unknown] => {
    const isHere = (SECRET_NAME.test(snake(member)) || SECRET_VARIABLE.test(member)) && !isHarmless(member);
    const isValue = isSecretPair && /^(raw_?)?(value|string_?value|bytes_?value)$/i.test(member);
    return [member, clean(value, member, isSecret || isHere || isValue, hidden)];
  });
  return Object.fromEntries(entries);
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

const NAME = "[\\w-]{0,40}(?:token|passw(?:or)?d|passphrase|secret|api_?key|private_?key)";
/** The quote may be escaped, where JSON stands in a text of JSON. */
const NAMED = `\\b${NAME}\\\\?["']? *`;

const SHAPES: readonly (readonly [pattern: RegExp, shown: string])[] = [
  [/-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]*?(-----END \1PRIVATE KEY-----|$)/g, HIDDEN],
  [/\beyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)?/g, HIDDEN], // a JWT
  [/\b(bearer|basic) +[\w.~+/=-]{6,}/gi, `$1 ${HIDDEN}`],
  [/(\b[a-z][a-z0-9+.-]{0,20}:\/\/[^/\s:@]*:)[^/\s@]+@/gi, `$1${HIDDEN}@`],
  [new RegExp(`(${NAMED}[:=] *\\\\?["'])[^"'\\\\]+`, "gi"), `$1${HIDDEN}`],
  // after a colon words may follow, as in "cannot read the token: permission denied"
  [new RegExp(`(${NAMED}(?:= *|: *(?=\\S*\\d)))(?![\\\\"'])[^\\s"'\\\\,;&]+`, "gi"), `$1${HIDDEN}`],
];

function hideShapes(text: string): string {
  return SHAPES.reduce((rest, [pattern, shown]) => rest.replace(pattern, shown), text);
}
