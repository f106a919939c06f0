import {
  type FuncMap,
  sprigDatetime,
  sprigHash,
  sprigRandom,
  sprigRegex,
  sprigSemver,
  sprigStrings,
} from "@promptctl/go-template-js";
import { GoInt, type GoValue, goTyped } from "../go-value.ts";
import { goFunctions, type TemplateFunctions } from "../language/functions.ts";

const THEIRS: FuncMap = {
  ...{ ...sprigDatetime(), ...sprigHash(), ...sprigRandom(), ...sprigRegex(), ...sprigSemver(), ...sprigStrings() },
};

/** Functions of sprig that @promptctl/go-template-js has, by their types in Go. */
const SIGNATURES: Readonly<Record<string, string>> = {
  ...{ ago: "any", date: "string any", dateInZone: "string any string", dateModify: "string any", duration: "any" },
  ...{ durationRound: "any", htmlDate: "any", htmlDateInZone: "any string", now: "", toDate: "string string" },
  ...{ unixEpoch: "any", b64enc: "string", b64dec: "string", b32enc: "string", b32dec: "string" },
  ...{ sha1sum: "string", sha256sum: "string", sha512sum: "string", adler32sum: "string", uuidv4: "" },
  ...{
    randInt: "int int",
    randAlpha: "int",
    randAlphaNum: "int",
    randNumeric: "int",
    randAscii: "int",
    shuffle: "string",
  },
  ...{ regexMatch: "string string", regexFind: "string string", regexFindAll: "string string int" },
  ...{ regexReplaceAll: "string string string", regexReplaceAllLiteral: "string string string" },
  ...{ regexSplit: "string string int", regexQuoteMeta: "string", semver: "string", semverCompare: "string string" },
  ...{ initials: "string", swapcase: "string", snakecase: "string", camelcase: "string", kebabcase: "string" },
  ...{ wrap: "int string", wrapWith: "int string string", abbrev: "int string", abbrevboth: "int int string" },
};

const ALL: TemplateFunctions = goFunctions(
  Object.fromEntries(
    Object.entries(SIGNATURES).map(([name, signature]) => {
      return [name, [signature, (...values: GoValue[]) => toGo(name, call(name, ...values.map(toTheirs)))]];
    }),
  ),
);

/** Where what they do is not what sprig does. */
const MENDED: TemplateFunctions = goFunctions({
  b64dec: ["string", (text: string) => decodedBase64(text)],
  duration: ["any", (seconds: GoValue) => (typeof seconds === "bigint" ? "0s" : call("duration", toTheirs(seconds)))],
  regexReplaceAll: [
    "string string string",
    (pattern: string, text: string, by: string) => call("regexReplaceAll", pattern, text, groupsOf(by)),
  ],
});

export const LIBRARY: TemplateFunctions = { ...ALL, ...MENDED };

function call(name: string, ...values: unknown[]): unknown {
  const fn = THEIRS[name]?.fn as ((...values: unknown[]) => unknown) | undefined;
  return fn?.(...values);
}

/** Go writes `${1}` and `$name` for what JavaScript writes as `$1` and `$<name>`. */
function groupsOf(by: string): string {
  return by.replace(/\$(?:\{(\w+)\}|(\w+)|\$)/g, (_, braced?: string, bare?: string) => {
    const group = braced ?? bare;
    if (group === undefined) return "$$";
    return /^\d+$/.test(group) ? `$${group}` : `$<${group}>`;
  });
}

/** As Go's decoder, which stops at what is no digit; sprig prints its complaint. */
function decodedBase64(text: string): string {
  const plain = text.replace(/[\r\n]/g, "");
  const at = /[^A-Za-z\d+/=]/.exec(plain)?.index ?? (plain.length % 4 === 0 ? -1 : plain.length - (plain.length % 4));
  return at < 0 ? Buffer.from(plain, "base64").toString() : `illegal base64 data at input byte ${at}`;
}

/** Their numbers are numbers of JavaScript. */
function toTheirs(value: GoValue): unknown {
  return typeof value === "bigint" || value instanceof GoInt ? Number(String(value)) : value;
}

function toGo(name: string, value: unknown): GoValue {
  if (name === "randInt") return BigInt(value as number);
  return Array.isArray(value) ? goTyped(value, "[]string") : value;
}
