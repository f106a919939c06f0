/**
 * Durations as whole nanoseconds, which is what Go and protobuf count in. Inside the agent times are milliseconds
 * in names that end in `Ms`; this type is for values that come from texts of such programs or go into them.
 */
export type DurationNs = bigint;

const UNIT_NS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n, // U+00B5
  μs: 1_000n, // U+03BC
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

const MAX_INT64 = 2n ** 63n - 1n;

/**
 * Parses Go's duration text: an optional sign, then one or more `<decimal><unit>`, or plain `0`.
 * Returns undefined for anything else (`90`, `1d`, `5 s`, empty). Source: Go `time.ParseDuration`.
 */
export function parseGoDuration(text: string): DurationNs | undefined {
  const [, sign = "", body = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (body === "0") return 0n;
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(body)) return undefined;
  let total = 0n;
  for (const [, whole = "", fraction = "", unit = ""] of body.matchAll(/(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)/g)) {
    const unitNs = UNIT_NS[unit] ?? 0n;
    total += BigInt(whole || "0") * unitNs;
    if (fraction !== "") total += (BigInt(fraction) * unitNs) / 10n ** BigInt(fraction.length);
  }
  if (total > MAX_INT64 + (sign === "-" ? 1n : 0n)) return undefined;
  return sign === "-" ? -total : total;
}

/** Prints as Go does: `1m30s`, `500ms`, `1.234567s`, `0s`. Source: Go `time.Duration.String`. */
export function formatGoDuration(duration: DurationNs): string {
  if (duration === 0n) return "0s";
  const sign = duration < 0n ? "-" : "";
  const ns = duration < 0n ? -duration : duration;
  for (const [unit, size] of [
    ["ns", 1n],
    ["µs", 1_000n],
    ["ms", 1_000_000n],
  ] as const) {
    if (ns < size * 1_000n) return `${sign}${decimal(ns, size)}${unit}`;
  }
  const hours = ns / 3_600_000_000_000n;
  const minutes = (ns / 60_000_000_000n) % 60n;
  const seconds = `${decimal(ns % 60_000_000_000n, 1_000_000_000n)}s`;
  if (hours > 0n) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0n ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}

/** Prints as protobuf JSON does: seconds with 0, 3, 6 or 9 decimals, for example `45s`, `1.500s`, `0.000100s`. */
export function formatProtoDuration(duration: DurationNs): string {
  const sign = duration < 0n ? "-" : "";
  const ns = duration < 0n ? -duration : duration;
  const nanos = (ns % 1_000_000_000n).toString().padStart(9, "0");
  const seconds = `${sign}${ns / 1_000_000_000n}`;
  if (nanos === "000000000") return `${seconds}s`;
  return `${seconds}.${nanos.replace(/(?:000){1,2}$/, "")}s`;
}

/** Milliseconds, with a fraction below one millisecond kept. */
export function toMs(duration: DurationNs): number {
  return Number(duration) / 1_000_000;
}

export function fromMs(ms: number): DurationNs {
  return BigInt(Math.round(ms * 1_000_000));
}

function decimal(value: bigint, unit: bigint): string {
  const fraction = (value % unit)
    .toString()
    .padStart(unit.toString().length - 1, "0")
    .replace(/0+$/, "");
  return fraction === "" ? `${value / unit}` : `${value / unit}.${fraction}`;
}
