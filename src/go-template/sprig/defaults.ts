import { type GoValue, goKind, goTypeName } from "../go-value.ts";
import { goFunctions, isTrue } from "../language/functions.ts";
import { encodeJson, encodeRawJson } from "../language/go-json.ts";
import { toText } from "./cast.ts";
import { isDeepEqual } from "./deep-equal.ts";

/** Source: Masterminds/sprig defaults.go, reflect.go. */
export const DEFAULTS = goFunctions({
  default: ["any ...any", (usual: GoValue, given?: GoValue) => (isTrue(given) ? given : usual)],
  empty: ["any", (value: GoValue) => !isTrue(value)],
  coalesce: ["...any", (...values: GoValue[]) => values.find(isTrue) ?? null],
  all: ["...any", (...values: GoValue[]) => values.every(isTrue)],
  any: ["...any", (...values: GoValue[]) => values.some(isTrue)],
  ternary: ["any any bool", (yes: GoValue, no: GoValue, isYes: boolean) => (isYes ? yes : no)],
  fail: [
    "string",
    (message: string) => {
      throw new Error(message);
    },
  ],
  fromJson: ["string", (text: string) => parsed(text)],
  mustFromJson: ["string", (text: string) => JSON.parse(text)],
  toJson: ["any", (value: GoValue) => encodeJson(value)],
  toPrettyJson: ["any", (value: GoValue) => encodeJson(value, "  ")],
  toRawJson: ["any", (value: GoValue) => encodeRawJson(value)],
  deepCopy: ["any", deepCopy],
  deepEqual: ["any any", isDeepEqual],
  typeOf: ["any", typeOf],
  typeIs: ["string any", (type: string, value: GoValue) => type === typeOf(value)],
  typeIsLike: ["string any", (type: string, value: GoValue) => [type, `*${type}`].includes(typeOf(value))],
  kindOf: ["any", kindOf],
  kindIs: ["string any", (kind: string, value: GoValue) => kind === kindOf(value)],
  ["toString" as string]: ["any", toText],
});

function parsed(text: string): GoValue {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function deepCopy(value: GoValue): GoValue {
  if (Array.isArray(value)) return value.map(deepCopy);
  if (goKind(value) !== "map") return value;
  return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, deepCopy(item)]));
}

function typeOf(value: GoValue): string {
  return value === null || value === undefined ? "<nil>" : goTypeName(value);
}

function kindOf(value: GoValue): string {
  const kind = goKind(value);
  if (kind === "interface" || kind === "invalid") return "invalid";
  return kind === "int" ? goTypeName(value).replace(/.*\..*/, "int32") : kind;
}
