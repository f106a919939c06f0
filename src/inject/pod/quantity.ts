/**
 * A quantity as Kubernetes writes it: `1024Mi` is `1Gi`, `2000m` is `2`, `0.5` is `500m`. Throws for what is none. Source:
 * kubernetes/apimachinery pkg/api/resource/quantity.go.
 */
export function canonicalQuantity(value: unknown, path: string): string {
  const text = String(value);
  const [, sign = "", whole = "", fraction = "", suffix = ""] =
    /^([+-]?)(\d*)(?:\.(\d*))?((?:[KMGTPE]i)|[numkMGTPE]|[eE][+-]?\d+)?$/.exec(text) ?? [];
  const binary = BINARY.indexOf(suffix);
  const exponent = /^[eE]/.test(suffix) && suffix.length > 1 ? Number(suffix.slice(1)) : DECIMAL[suffix];
  if (whole + fraction === "" || (binary <= 0 && exponent === undefined)) {
    throw new Error(`${path}: found "${text}", wanted a quantity such as 100m or 128Mi`);
  }
  const minus = sign === "-" ? "-" : "";
  if (binary > 0) return minus + inBinary(whole, fraction, binary);
  const form = suffix.length > 1 ? "exponent" : "suffix";
  return minus + inDecimal(BigInt(`${whole}${fraction}`), (exponent ?? 0) - fraction.length, form);
}

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: Readonly<Record<string, number>> = {
  ...{ n: -9, u: -6, m: -3, "": 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 },
};

/** Below 1024 and with a fraction it is no binary quantity any more. */
function inBinary(whole: string, fraction: string, power: number): string {
  const bytes = BigInt(`${whole}${fraction}`) * 1024n ** BigInt(power);
  const scale = 10n ** BigInt(fraction.length);
  if (bytes % scale !== 0n || bytes / scale < 1024n) return inDecimal(bytes, -fraction.length, "suffix");
  let [number, at] = [bytes / scale, 0];
  while (number % 1024n === 0n && at < BINARY.length - 1) [number, at] = [number / 1024n, at + 1];
  return `${number}${BINARY[at]}`;
}

/** `digits` times ten to the `exponent`, with the largest suffix that leaves no fraction; below a billionth it is rounded up. */
function inDecimal(digits: bigint, exponent: number, form: "suffix" | "exponent"): string {
  if (digits === 0n) return "0";
  let [number, power] = [digits, exponent];
  while (number % 10n === 0n) [number, power] = [number / 10n, power + 1];
  while (power < -9) [number, power] = [(number + 9n) / 10n, power + 1];
  const step = Math.min(18, Math.floor(power / 3) * 3);
  number *= 10n ** BigInt(power - step);
  if (form === "exponent") return step === 0 ? `${number}` : `${number}e${step}`;
  return `${number}${Object.keys(DECIMAL).find((suffix) => DECIMAL[suffix] === step) ?? ""}`;
}
