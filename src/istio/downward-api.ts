/**
 * Reads a file of the downward API: lines `key="quoted value"`. Returns the reason as text when a value is not one
 * complete literal; the whole file then counts as unreadable. Lines without `=` are passed over, the last of equal
 * keys wins. Source: istio/istio pkg/config/constants, pkg/bootstrap/config.go (ParseDownwardAPI), Go strconv.Unquote.
 */
export function parseDownwardApi(text: string): ReadonlyMap<string, string> | string {
  const entries = new Map<string, string>();
  for (const line of text.split("\n")) {
    const at = line.indexOf("=");
    if (at < 0) continue;
    const value = unquote(line.slice(at + 1));
    if (value === undefined) return `failed to unquote ${line.slice(at + 1)}: invalid syntax`;
    entries.set(line.slice(0, at), value);
  }
  return entries;
}

/** Go's strconv.Unquote. Undefined for text that is not one complete quoted literal. */
export function unquote(literal: string): string | undefined {
  const quote = literal[0];
  const body = literal.slice(1, -1);
  if (literal.length < 2 || quote === undefined || literal.at(-1) !== quote) return undefined;
  if (quote === "`") return body.includes("`") ? undefined : body.replaceAll("\r", "");
  if (quote !== '"' && quote !== "'") return undefined;
  const pattern = /\\(?:[abfnrtv\\]|x[\da-fA-F]{2}|[0-7]{3}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|(["']))|[^\\\n]/gsu;
  const bytes: Buffer[] = [];
  let end = 0;
  let count = 0;
  for (const match of body.matchAll(pattern)) {
    const [token, quoted] = match;
    if (match.index !== end || token === quote || (quoted !== undefined && quoted !== quote)) return undefined;
    const part = decodeEscape(token);
    if (part === undefined) return undefined;
    bytes.push(part);
    end += token.length;
    count++;
  }
  if (end !== body.length || (quote === "'" && count > 1)) return undefined; // Go takes '' for an empty text
  return Buffer.concat(bytes).toString("utf8");
}

const SIMPLE: Readonly<Record<string, string>> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

function decodeEscape(token: string): Buffer | undefined {
  if (!token.startsWith("\\")) return Buffer.from(token);
  const rest = token.slice(1);
  const simple = SIMPLE[rest];
  if (simple !== undefined) return Buffer.from(simple);
  if (/^[0-7]{3}$/.test(rest)) return byte(Number.parseInt(rest, 8));
  if (rest.startsWith("x")) return byte(Number.parseInt(rest.slice(1), 16));
  if (!/^[uU]./.test(rest)) return Buffer.from(rest);
  const point = Number.parseInt(rest.slice(1), 16);
  return point > 0x10_ff_ff || (point >= 0xd8_00 && point <= 0xdf_ff)
    ? undefined
    : Buffer.from(String.fromCodePoint(point));
}

function byte(value: number): Buffer | undefined {
  return value > 255 ? undefined : Buffer.from([value]);
}
