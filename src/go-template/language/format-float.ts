/**
 * A float64 as Go's strconv.FormatFloat writes it. Without a precision as many digits as it takes to read the same number
 * again; then `g` is `e` from an exponent of 6 on, or below -4.
 */
export function formatGoFloat(value: number, shape: "e" | "f" | "g", precision: number | undefined): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value < 0 ? "-Inf" : "+Inf";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  return sign + positive(Math.abs(value), shape, precision);
}

function positive(value: number, shape: "e" | "f" | "g", precision: number | undefined): string {
  if (shape === "f") return fixed(value, precision ?? 6);
  if (shape === "e")
    return exponential(value.toExponential(precision === undefined ? undefined : Math.min(precision, 100)));
  const digits = precision === undefined ? undefined : Math.max(precision, 1);
  const text = value.toExponential(digits === undefined ? undefined : Math.min(digits - 1, 100));
  const exponent = Number(text.slice(text.indexOf("e") + 1));
  const mantissa = text.slice(0, text.indexOf("e"));
  const kept = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  const count = kept.replace(".", "").length;
  const limit = digits === undefined ? 6 : digits > count && count >= exponent + 1 ? count : digits;
  if (exponent < -4 || exponent >= limit) return exponential(`${kept}e${exponent}`);
  return plain(kept.replace(".", ""), exponent);
}

/** `digits` with the point behind the one of 10^exponent. */
function plain(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  const fraction = digits.slice(exponent + 1);
  return fraction === "" ? whole : `${whole}.${fraction}`;
}

/** Between two numbers Go takes the even one. */
function fixed(value: number, precision: number): string {
  const scaled = value * 10 ** precision;
  const isTie = scaled < 2 ** 52 && scaled % 1 === 0.5 && scaled / 10 ** precision === value;
  if (isTie) return ((Math.floor(scaled) + (Math.floor(scaled) % 2)) / 10 ** precision).toFixed(precision);
  if (value < 1e21) return value.toFixed(Math.min(precision, 100));
  const whole = BigInt(value).toString();
  return precision === 0 ? whole : `${whole}.${"0".repeat(precision)}`;
}

/** Go writes two digits of an exponent at least. */
function exponential(text: string): string {
  return text.replace(
    /e([+-]?)(\d+)$/,
    (_, sign: string, digits: string) => `e${sign || "+"}${digits.padStart(2, "0")}`,
  );
}
