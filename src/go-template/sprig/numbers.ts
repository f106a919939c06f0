import { type GoValue, goTyped } from "../go-value.ts";
import { formatValue } from "../language/format.ts";
import { goFunctions } from "../language/functions.ts";
import { int64, toFloat, toInteger } from "./cast.ts";

/** Source: Masterminds/sprig numeric.go, functions.go. */
export const NUMBERS = goFunctions({
  atoi: ["string", (text: string) => (/^[+-]?\d+$/.test(text) ? BigInt(text.replace("+", "")) : 0n)],
  int: ["any", toInteger],
  int64: ["any", (value: GoValue) => int64(toInteger(value))],
  float64: ["any", toFloat],
  toDecimal: ["any", toDecimal],
  add: ["...any", (...values: GoValue[]) => int64(values.map(toInteger).reduce((a, b) => a + b, 0n))],
  add1: ["any", (value: GoValue) => int64(toInteger(value) + 1n)],
  sub: ["any any", (a: GoValue, b: GoValue) => int64(toInteger(a) - toInteger(b))],
  mul: ["any ...any", (...values: GoValue[]) => int64(values.map(toInteger).reduce((a, b) => a * b, 1n))],
  div: ["any any", (a: GoValue, b: GoValue) => int64(toInteger(a) / divisor(b))],
  mod: ["any any", (a: GoValue, b: GoValue) => int64(toInteger(a) % divisor(b))],
  max: ["any ...any", (...values: GoValue[]) => int64(values.map(toInteger).reduce((a, b) => (b > a ? b : a)))],
  min: ["any ...any", (...values: GoValue[]) => int64(values.map(toInteger).reduce((a, b) => (b < a ? b : a)))],
  addf: ["...any", (...values: GoValue[]) => decimal(0, values, added)],
  add1f: ["any", (value: GoValue) => decimal(value, [1], added)],
  subf: [
    "any ...any",
    (value: GoValue, ...more: GoValue[]) => decimal(value, more, (a, b) => added(a, { ...b, digits: -b.digits })),
  ],
  mulf: ["any ...any", (value: GoValue, ...more: GoValue[]) => decimal(value, more, multiplied)],
  divf: ["any ...any", (value: GoValue, ...more: GoValue[]) => decimal(value, more, divided)],
  maxf: ["any ...any", (...values: GoValue[]) => Math.max(...values.map(toFloat))],
  minf: ["any ...any", (...values: GoValue[]) => Math.min(...values.map(toFloat))],
  floor: ["any", (value: GoValue) => Math.floor(toFloat(value))],
  ceil: ["any", (value: GoValue) => Math.ceil(toFloat(value))],
  round: ["any int ...float64", round],
  until: ["int", (count: bigint) => goTyped(steps(0n, count, count < 0n ? -1n : 1n), "[]int")],
  untilStep: ["int int int", (from: bigint, to: bigint, step: bigint) => goTyped(steps(from, to, step), "[]int")],
  seq: ["...int", sequence],
  plural: ["string string int", (one: string, many: string, count: bigint) => (count === 1n ? one : many)],
});

function divisor(value: GoValue): bigint {
  const by = toInteger(value);
  if (by === 0n) throw new Error("runtime error: integer divide by zero");
  return by;
}

/** An octal number, in spite of the name. */
function toDecimal(value: GoValue): GoValue {
  const [, sign, digits] = /^([+-]?)([0-7]+)$/.exec(formatValue(value)) ?? [];
  if (digits === undefined) return int64(0n);
  return int64(sign === "-" ? -BigInt(`0o${digits}`) : BigInt(`0o${digits}`));
}

/** Numbers as they are written, so that 0.1 and 0.2 are 0.3. Source: shopspring/decimal. */
function decimal(value: GoValue, more: readonly GoValue[], step: (a: Decimal, b: Decimal) => Decimal): number {
  const { digits, places } = more.map(decimalOf).reduce(step, decimalOf(value));
  return Number(`${digits}e${-places}`);
}

/** digits / 10^places */
interface Decimal {
  readonly digits: bigint;
  readonly places: number;
}

function decimalOf(value: GoValue): Decimal {
  const [mantissa = "0", exponent = "0"] = toFloat(value).toExponential().split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const places = fraction.length - Number(exponent);
  const digits = BigInt(whole + fraction);
  return places < 0 ? { digits: digits * 10n ** BigInt(-places), places: 0 } : { digits, places };
}

function added(a: Decimal, b: Decimal): Decimal {
  const places = Math.max(a.places, b.places);
  const scaled = (one: Decimal): bigint => one.digits * 10n ** BigInt(places - one.places);
  return { digits: scaled(a) + scaled(b), places };
}

function multiplied(a: Decimal, b: Decimal): Decimal {
  return { digits: a.digits * b.digits, places: a.places + b.places };
}

const DIVISION_PLACES = 16;

function divided(a: Decimal, b: Decimal): Decimal {
  if (b.digits === 0n) throw new Error("decimal division by 0");
  const more = DIVISION_PLACES + b.places - a.places + 1;
  const tenfold = (a.digits * 10n ** BigInt(Math.max(more, 0))) / (b.digits * 10n ** BigInt(Math.max(-more, 0)));
  const half = tenfold < 0n ? -5n : 5n;
  return { digits: (tenfold + half) / 10n, places: DIVISION_PLACES };
}

function round(value: GoValue, places: bigint, up = 0.5): number {
  const scale = 10 ** Number(places);
  const digit = scale * toFloat(value);
  return (digit - Math.trunc(digit) >= up ? Math.ceil(digit) : Math.floor(digit)) / scale;
}

const MOST_STEPS = 1_000_000n;

function steps(from: bigint, to: bigint, step: bigint): bigint[] {
  const isDown = to < from;
  if (isDown ? step >= 0n : step <= 0n) return [];
  const count = (to - from) / step;
  if (count > MOST_STEPS) throw new Error(`a list of ${count} numbers is too long`);
  const all: bigint[] = [];
  for (let at = from; isDown ? at > to : at < to; at += step) all.push(at);
  return all;
}

function sequence(...words: bigint[]): string {
  const [first = 0n, second = 0n, third = 0n] = words;
  if (words.length === 0 || words.length > 3) return "";
  if (words.length === 3) {
    const isDown = third < first;
    if (isDown && second > 0n) return "";
    return steps(first, third + (isDown ? -1n : 1n), second).join(" ");
  }
  const [from, to] = words.length === 1 ? [1n, first] : [first, second];
  const step = to < from ? -1n : 1n;
  return steps(from, to + step, step).join(" ");
}
