const TRUE = new Set(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]);
const FALSE = new Set(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]);
const NULL = new Set(["", "~", "null", "Null", "NULL"]);
const NOT_FINITE = /^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$/;
const INTEGER = /^([-+]?)(0[xX][\da-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[1-9]\d*|0)$/;
const FLOAT = /^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$/;

/** A number that JSON cannot carry: the reference refuses the whole document. */
class NotFinite extends Error {}

/**
 * The value of an unquoted YAML 1.1 scalar: boolean, null, number or text. Whole numbers beyond 2^53 are bigints. Throws
 * NotFinite. Source: go-yaml v2 resolve.go, which is what sigs.k8s.io/yaml and so Istio read with.
 */
export function resolvePlain(source: string): string | number | bigint | boolean | null {
  if (NULL.has(source)) return null;
  if (TRUE.has(source)) return true;
  if (FALSE.has(source)) return false;
  if (NOT_FINITE.test(source)) throw new NotFinite(`"${source}" is not a number that JSON knows`);
  if (!/^[-+.\d]/.test(source)) return source;
  const plain = source.replaceAll("_", "");
  const integer = parseGoInteger(plain);
  if (integer !== undefined) return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
  if (!FLOAT.test(plain)) return source;
  return Number.isFinite(Number(plain)) ? Number(plain) : source;
}

/** Go's strconv.ParseInt with base 0, without its range: `12`, `-0x1F`, `0b11`, `0o10`, `010`. */
export function parseGoInteger(text: string): bigint | undefined {
  const [, sign, digits] = INTEGER.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const value = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits.toLowerCase());
  return sign === "-" ? -value : value;
}
