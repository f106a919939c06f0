import { parseGoFloat } from "../../base/index.ts";
import { GoInt, type GoValue, goInteger } from "../go-value.ts";
import { formatValue } from "../language/format.ts";
import { parseInteger } from "../language/parse-constant.ts";

/** A number of anything, 0 where it is none. Source: spf13/cast (ToInt64). */
export function toInteger(value: GoValue): bigint {
  const integer = goInteger(value);
  if (integer !== undefined) return integer;
  if (typeof value === "number") return Number.isFinite(value) ? BigInt.asIntN(64, BigInt(Math.trunc(value))) : 0n;
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value !== "string") return 0n;
  return parseInteger(value.replace(/\.0*$/, "")) ?? 0n;
}

/** Source: spf13/cast (ToFloat64). */
export function toFloat(value: GoValue): number {
  if (typeof value === "number") return value;
  if (typeof value === "string") return parseGoFloat(value) ?? 0;
  return Number(toInteger(value));
}

export function int64(value: bigint): GoInt {
  return new GoInt(BigInt.asIntN(64, value), "int64");
}

/** As sprig makes a text of anything: `%v`. */
export function toText(value: GoValue): string {
  return typeof value === "string" ? value : formatValue(value);
}

/** The texts of a list without its nils, or of what is no list. */
export function toTexts(value: GoValue): string[] {
  const items: readonly GoValue[] = Array.isArray(value) ? value : [value];
  return items.filter((item) => item !== null && item !== undefined).map(toText);
}
