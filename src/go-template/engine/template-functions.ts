import { basename, dirname, extname, isAbsolute, normalize } from "node:path";
import {
  type FuncMap,
  sprigConversions,
  sprigDatetime,
  sprigDefaults,
  sprigDicts,
  sprigFlow,
  sprigHash,
  sprigLists,
  sprigMath,
  sprigRandom,
  sprigRegex,
  sprigSemver,
  sprigStrings,
  sprigTypes,
  type TemplateFunc,
} from "@promptctl/go-template-js";
import { escapeGoJson } from "../../base/index.ts";
import { isGoTextMap } from "../go-record.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Every function of sprig 3.3.0 but those that make keys, certificates or password hashes, which no bootstrap should do,
 * and `getHostByName`, which would have to block; and Istio's `toJSON`. Source: Masterminds/sprig functions.go,
 * istio/istio pkg/bootstrap/instance.go.
 */
export function templateFunctions(environment: Environment): FuncMap {
  const all: FuncMap = {
    ...sprigConversions(),
    ...sprigDatetime(),
    ...sprigDefaults(),
    ...sprigDicts(),
    ...sprigFlow(),
    ...sprigHash(),
    ...sprigLists(),
    ...sprigMath(),
    ...sprigRandom(),
    ...sprigRegex(),
    ...sprigSemver(),
    ...sprigStrings(),
    ...sprigTypes(),
    ...jsonFunctions(),
    ...pathFunctions(),
    ...environmentFunctions(environment),
    ...urlFunctions(),
    ...textFunctions(),
    index: { fn: index, argTypes: ["collection", "index-key"] },
  };
  return { ...all, ...otherNames(all) };
}

/** Names under which sprig has the same function once more; where something is wrong, ours fail in any case. */
function otherNames(all: FuncMap): FuncMap {
  const must =
    "DateModify ToDate Compact FromJson ToJson ToPrettyJson ToRawJson DeepCopy Merge MergeOverwrite Append Push Prepend " +
    "First Rest Last Initial Reverse Uniq Without Has Slice Chunk RegexMatch RegexFindAll RegexFind RegexReplaceAll " +
    "RegexReplaceAllLiteral RegexSplit";
  const pairs: (readonly [name: string, of: string])[] = [
    ...must.split(" ").map((name) => [`must${name}`, name.charAt(0).toLowerCase() + name.slice(1)] as const),
    ["date_in_zone", "dateInZone"],
    ["date_modify", "dateModify"],
    ["must_date_modify", "dateModify"],
    ["trimall", "trimAll"],
  ];
  const found = pairs.flatMap(([name, of]) => (all[of] === undefined ? [] : [[name, all[of]] as const]));
  return Object.fromEntries(found);
}

/** Those of sprig that take anything and print it; the engine's own take texts only. */
function textFunctions(): FuncMap {
  const present = (values: readonly unknown[]): string[] =>
    values.filter((value) => value !== undefined && value !== null).map(String);
  const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);
  return {
    quote: { fn: (...values: unknown[]) => present(values).map(goQuote).join(" "), argTypes: ["value"] },
    squote: {
      fn: (...values: unknown[]) =>
        present(values)
          .map((text) => `'${text}'`)
          .join(" "),
      argTypes: ["value"],
    },
    cat: { fn: (...values: unknown[]) => present(values).join(" "), argTypes: ["value"] },
    join: {
      fn: (separator: unknown, list: unknown) => present(listOf(list)).join(String(separator)),
      argTypes: ["value"],
    },
  };
}

/** Go's `%q` for what is printable: JSON writes the same escapes. */
function goQuote(text: string): string {
  return JSON.stringify(text);
}

function jsonFunctions(): FuncMap {
  const json = (empty: string, indent?: number): TemplateFunc => ({
    fn: (value: unknown) => (value === undefined || value === null ? empty : plainJson(value, indent)),
    argTypes: ["value"],
    returnType: "string",
  });
  return { toJson: json("null"), toPrettyJson: json("null", 2), toJSON: json("{}") };
}

/** Members stay in their order: of a struct it is the declared one. */
function plainJson(value: unknown, indent?: number): string {
  return escapeGoJson(JSON.stringify(value, null, indent));
}

/** Go's `path`, and its `path/filepath` under the names with `os`. */
function pathFunctions(): FuncMap {
  const text = (fn: (path: string) => string | boolean): TemplateFunc => ({
    fn: (path: unknown) => fn(String(path)),
    argTypes: ["string"],
  });
  const clean = (path: string): string => normalize(path === "" ? "." : path).replace(/(.)\/$/, "$1");
  const base = text((path) => (path === "" ? "." : basename(path) || "/"));
  const dir = text((path) => clean(path.endsWith("/") ? path : dirname(path)));
  const ext = text((path) => (/^\.[^.]*$/.test(basename(path)) ? basename(path) : extname(path)));
  const isAbs = text(isAbsolute);
  return {
    ...{ base, dir, ext, isAbs, clean: text(clean) },
    ...{ osBase: base, osDir: dir, osExt: ext, osIsAbs: isAbs, osClean: text(clean) },
  };
}

function environmentFunctions(environment: Environment): FuncMap {
  const lookUp = (name: string): string => (Object.hasOwn(environment, name) ? (environment[name] ?? "") : "");
  const expand = (text: string): string =>
    text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced?: string, bare?: string) => lookUp(braced ?? bare ?? ""));
  return {
    env: { fn: (name: unknown) => lookUp(String(name)), argTypes: ["string"] },
    expandenv: { fn: (text: unknown) => expand(String(text)), argTypes: ["string"] },
    hello: { fn: () => "Hello!", argTypes: [] },
  };
}

function urlFunctions(): FuncMap {
  return {
    urlParse: { fn: (url: unknown) => urlParts(String(url)), argTypes: ["string"] },
    urlJoin: { fn: (parts: unknown) => urlText(parts as Readonly<Record<string, unknown>>), argTypes: ["dict"] },
  };
}

function urlParts(text: string): Record<string, string> {
  const [, scheme = "", authority, path = "", query = "", fragment = ""] =
    /^(?:([a-z][a-z\d+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/is.exec(text) ?? [];
  const at = (authority ?? "").lastIndexOf("@");
  const [userinfo, host] = [(authority ?? "").slice(0, Math.max(at, 0)), (authority ?? "").slice(at + 1)];
  const hostname = host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
  const isOpaque = scheme !== "" && authority === undefined && !path.startsWith("/");
  return {
    ...{ scheme: scheme.toLowerCase(), host, hostname, query, fragment, userinfo },
    path: isOpaque ? "" : decodeURIComponent(path),
    opaque: isOpaque ? path : "",
  };
}

function urlText(parts: Readonly<Record<string, unknown>>): string {
  const part = (name: string, before: string, after: string): string => {
    const text = String(parts[name] ?? "");
    return text === "" ? "" : `${before}${text}${after}`;
  };
  const authority = `${part("userinfo", "", "@")}${part("host", "", "")}`;
  const rest = part("opaque", "", "") || `${authority === "" ? "" : `//${authority}`}${part("path", "", "")}`;
  return `${part("scheme", "", ":")}${rest}${part("query", "?", "")}${part("fragment", "#", "")}`;
}

/** As the engine's own, except that a map of texts has an empty one for a key that is missing. */
function index(collection: unknown, ...keys: readonly unknown[]): unknown {
  return keys.reduce(indexOnce, collection);
}

function indexOnce(collection: unknown, key: unknown): unknown {
  if (Array.isArray(collection) || typeof collection === "string") {
    const at = Number(key);
    const list = typeof collection === "string" ? Buffer.from(collection) : collection;
    if (!Number.isInteger(at) || at < 0 || at >= list.length) throw new Error(`index out of range: ${String(key)}`);
    return list[at];
  }
  if (collection === undefined || collection === null) throw new Error("index of untyped nil");
  const name = String(key);
  const found = Object.hasOwn(collection as object, name) ? (collection as Record<string, unknown>)[name] : undefined;
  return found === undefined && isGoTextMap(collection) ? "" : found;
}
