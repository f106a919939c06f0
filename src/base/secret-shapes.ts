import { HIDDEN } from "./secret.ts";

/**
 * Text without what has the form of a secret, whatever its name. Certificates, digests, UIDs and names stay. `isPublic` is
 * asked only when the text has a long word; true keeps long random words.
 */
export function hideShapes(text: string, isPublic: () => boolean = () => false): string {
  const rest = hideKnownShapes(text);
  return WORD_SIGN.test(rest) && !isPublic() ? hideRandomWords(rest) : rest;
}

function hideKnownShapes(text: string): string {
  if (!SIGN.test(text)) return text; // nearly all of them: each pattern costs more than this one
  return SHAPES.reduce((rest, { pattern, shown }) => rest.replace(pattern, shown), text);
}

const NAME_SIGN = "(?:token|passw(?:or)?d|passphrase|secret|api_?key|private_?key)";
const NAME = `[\\w-]{0,40}${NAME_SIGN}`;
/** The quote may be escaped, where JSON stands in a text of JSON. */
const NAMED = `\\b${NAME}\\\\?["']? *`;

/** How services begin their tokens, so that scanners find them in repositories, and how those go on; as their documentation says. */
const PREFIXED: readonly (readonly [sign: string, rest: string])[] = [
  ["gh[oprsu]_", "[A-Za-z0-9]{16,}"], // GitHub
  ["github_pat_", "\\w{16,}"],
  ["gl(?:pat|rt|dt|cbt|ptt|soat|ft|agent)-", "[\\w-]{16,}"], // GitLab
  ["xox[a-z]-", "[\\w-]{10,}"], // Slack
  ["xapp-", "[\\w-]{10,}"],
  ["(?:sk|rk|pk)_(?:live|test)_", "[A-Za-z0-9]{10,}"], // Stripe
  ["sk-", "[\\w-]{20,}"], // OpenAI and others
  ["(?:AKIA|ASIA)", "[A-Z0-9]{16}\\b"], // AWS
  ["AIza", "[\\w-]{35}"], // Google
  ["ya29\\.", "[\\w.-]{16,}"],
  ["GOCSPX-", "[\\w-]{16,}"],
  ["npm_", "[A-Za-z0-9]{30,}"],
  ["pypi-", "[\\w-]{16,}"],
  ["dckr_(?:pat|oat)_", "[\\w-]{16,}"], // Docker
  ["hv[sbr]\\.", "[\\w-]{16,}"], // Vault
  ["SG\\.", "[\\w-]{16,}\\.[\\w-]{16,}"], // SendGrid
  ["shp(?:at|ca|pa|ss)_", "[a-fA-F0-9]{32}"], // Shopify
  ["do[opr]_v1_", "[a-f0-9]{32,}"], // DigitalOcean
  ["hf_", "[A-Za-z0-9]{20,}"], // Hugging Face
  ["AGE-SECRET-KEY-1", "[A-Z0-9]{40,}"],
];
const PREFIXES = PREFIXED.map(([sign]) => sign).join("|");

/** A message may have cut the scheme off. */
const URL = "(?:\\b[a-z][a-z0-9+.-]{0,20}:)?\\/\\/";

interface Shape {
  readonly pattern: RegExp;
  readonly shown: string;
  /** Matches in every text that has the shape, whatever the case. */
  readonly sign: string;
}

const SHAPES: readonly Shape[] = [
  {
    pattern: /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]*?(-----END \1PRIVATE KEY-----|$)/g,
    shown: HIDDEN,
    sign: "PRIVATE KEY-----",
  },
  { pattern: /\beyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)?/g, shown: HIDDEN, sign: "eyJ" }, // a JWT
  {
    pattern: new RegExp(`(?<![A-Za-z0-9])(?:${PREFIXED.map((words) => words.join("")).join("|")})`, "g"),
    shown: HIDDEN,
    sign: `(?:${PREFIXES})`,
  },
  { pattern: /\b(bearer|basic) +[\w.~+/=-]{6,}/gi, shown: `$1 ${HIDDEN}`, sign: "(?:bearer|basic) " },
  // user info: of `user:password` the name stays; alone, or with nothing behind the colon, it is a key
  { pattern: new RegExp(`(${URL}[^/\\s:@]*:)[^/\\s@]+@`, "gi"), shown: `$1${HIDDEN}@`, sign: "\\/\\/[^/\\s@]+@" },
  { pattern: new RegExp(`(${URL})[^/\\s:@"'?#]+:?@`, "gi"), shown: `$1${HIDDEN}@`, sign: "\\/\\/[^/\\s@]+@" },
  {
    pattern: /([?&](?:sig|signature|key|auth|code|x-amz-(?:signature|credential))=)[^&\s"'#]{6,}/gi,
    shown: `$1${HIDDEN}`,
    sign: "[?&](?:sig|key|auth|code|x-amz)",
  },
  { pattern: new RegExp(`(${NAMED}[:=] *\\\\?["'])[^"'\\\\]+`, "gi"), shown: `$1${HIDDEN}`, sign: NAME_SIGN },
  // after a colon words may follow, as in "cannot read the token: permission denied"
  {
    pattern: new RegExp(`(${NAMED}(?:= *|: *(?=\\S*\\d)))(?![\\\\"'])[^\\s"'\\\\,;&]+`, "gi"),
    shown: `$1${HIDDEN}`,
    sign: NAME_SIGN,
  },
];
const SIGN = new RegExp([...new Set(SHAPES.map(({ sign }) => sign))].join("|"), "i");

/** Without another beginning in it, so that many of them without an end take no more time than one. */
const PUBLIC_BLOCK =
  /(-----BEGIN (?:TRUSTED |X509 )?(?:CERTIFICATE|CRL|PUBLIC KEY|CERTIFICATE REQUEST)-----(?:(?!-----BEGIN )[\s\S])*?-----END [^-]*-----)/;
/** The same in base64, and digests that say so. */
const PUBLIC_WORD = /^(LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS|sha\d{1,3}[-/])/i;
const WORD = /(?<![\w+/-]|sha\d{1,3}:)[\w+/-]{24,512}={0,2}(?![\w+/=-])/gi;

/** What every word that is judged has. */
const WORD_SIGN = /[\w+/-]{24}/;

function hideRandomWords(text: string): string {
  const parts = text.split(PUBLIC_BLOCK);
  return parts.map((part, at) => (at % 2 === 1 ? part : part.replace(WORD, hideRandomWord))).join("");
}

function hideRandomWord(word: string): string {
  return !PUBLIC_WORD.test(word) && isRandom(word) ? HIDDEN : word;
}

/** How often letters and digits change their kind: half of the time in a random word, at most a fifth in names. */
const LEAST_CHANGES = 0.25;
const LEAST_DIGITS = 2;
const LEAST_OF_TWO_KINDS = 32;

/** Hexadecimal words are digests, UIDs and serial numbers; nothing tells a secret from them. */
function isRandom(word: string): boolean {
  const text = word.replace(/[^A-Za-z0-9]/g, "");
  if (/^[0-9a-f]*$/i.test(text) || (text.match(/\d/g)?.length ?? 0) < LEAST_DIGITS) return false;
  const isOfThreeKinds = /[a-z]/.test(text) && /[A-Z]/.test(text);
  if (!isOfThreeKinds && (text.length < LEAST_OF_TWO_KINDS || /[^A-Za-z0-9=]/.test(word))) return false;
  return changesOf(text) / (text.length - 1) >= LEAST_CHANGES;
}

/** A capital before a small letter begins a word and counts for nothing. */
function changesOf(text: string): number {
  const kinds = text.replace(/[a-z]/g, "a").replace(/[A-Z]/g, "A").replace(/\d/g, "1");
  return Array.from(kinds.slice(1)).filter((kind, at) => kind !== kinds[at] && !(kinds[at] === "A" && kind === "a"))
    .length;
}
