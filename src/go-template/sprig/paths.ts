import { posix } from "node:path";
import type { GoMap } from "../go-value.ts";
import { goFunctions } from "../language/functions.ts";

const base = (path: string): string => (path === "" ? "." : posix.basename(path) || "/");
const clean = (path: string): string => posix.normalize(path === "" ? "." : path).replace(/(.)\/$/, "$1");
const dir = (path: string): string => clean(path.endsWith("/") ? path : posix.dirname(path));
const ext = (path: string): string => /\.[^./]*$/.exec(path)?.[0] ?? "";

/** Go's `path`, its `path/filepath` under the names with `os`, and URLs. Source: Masterminds/sprig functions.go, url.go. */
export const PATHS = goFunctions({
  ...{ base: ["string", base], dir: ["string", dir], ext: ["string", ext], clean: ["string", clean] },
  ...{ osBase: ["string", base], osDir: ["string", dir], osExt: ["string", ext], osClean: ["string", clean] },
  ...{ isAbs: ["string", posix.isAbsolute], osIsAbs: ["string", posix.isAbsolute] },
  ...{ urlParse: ["string", urlParts], urlJoin: ["dict", urlText] },
});

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

function urlText(parts: GoMap): string {
  const part = (name: string, before: string, after: string): string => {
    const text = String(parts[name] ?? "");
    return text === "" ? "" : `${before}${text}${after}`;
  };
  const authority = `${part("userinfo", "", "@")}${part("host", "", "")}`;
  const rest = part("opaque", "", "") || `${authority === "" ? "" : `//${authority}`}${part("path", "", "")}`;
  return `${part("scheme", "", ":")}${rest}${part("query", "?", "")}${part("fragment", "#", "")}`;
}
