import { GoNil, type GoValue, goInteger, goKind, goNilCollection, goTyped, goTypeName } from "../go-value.ts";

/** A function that a template can call. */
export interface GoFunction {
  readonly params: readonly Param[];
  /** The type of the arguments of which there may be any number. */
  readonly rest: Param | undefined;
  readonly call: (...values: readonly never[]) => GoValue;
}

export type TemplateFunctions = Readonly<Record<string, GoFunction>>;

/** A type of Go, by a short name where its own has a space. */
interface Param {
  readonly type: string;
  /** Whether nil is one of its values. */
  readonly hasNil: boolean;
}

const LONG_NAMES: Readonly<Record<string, string>> = {
  any: "interface {}",
  value: "reflect.Value",
  dict: "map[string]interface {}",
  texts: "map[string]string",
};

/**
 * A function by the types of its parameters, for example `string int ...any`; `any` takes everything, `value` also what
 * is missing. What is missing arrives as null at `any`, as undefined at `value`.
 */
function goFunction(signature: string, call: (...values: never[]) => GoValue): GoFunction {
  const words = signature.split(" ").filter((word) => word !== "");
  const last = words.at(-1);
  const rest = last?.startsWith("...") ? paramOf(last.slice(3)) : undefined;
  return { params: (rest === undefined ? words : words.slice(0, -1)).map(paramOf), rest, call };
}

/** A table of functions that have their signature in front. */
export function goFunctions(
  table: Readonly<Record<string, readonly [signature: string, call: (...values: never[]) => GoValue]>>,
): TemplateFunctions {
  return Object.fromEntries(
    Object.entries(table).map(([name, [signature, call]]) => [name, goFunction(signature, call)]),
  );
}

function paramOf(word: string): Param {
  const type = LONG_NAMES[word] ?? word;
  return { type, hasNil: /^(?:interface|map|\[\]|\*|reflect\.Value)/.test(type) };
}

/** Nil as a parameter takes it; throws an Error in Go's words where it cannot. */
export function nilFor({ type, hasNil }: Param): GoValue {
  if (!hasNil) throw new Error(`invalid value; expected ${type}`);
  return /^map|^\[\]/.test(type) ? goNilCollection(goTyped(type.startsWith("map") ? {} : [], type)) : null;
}

/** The value as a parameter takes it; throws an Error in Go's words where it cannot. */
export function assigned(value: GoValue, param: Param): GoValue {
  const { type } = param;
  if (type === "reflect.Value") return value;
  if (value === undefined) return nilFor(param);
  if (type === "interface {}") return value;
  const found = goTypeName(value);
  if (found === type || `*${found}` === type || found === `*${type}`) return value;
  throw new Error(`wrong type for value; expected ${type}; got ${found}`);
}

/** As Go's templates judge a value. */
export function isTrue(value: GoValue): boolean {
  switch (goKind(value)) {
    case "slice":
      return (value as readonly unknown[]).length > 0;
    case "map":
      return Object.keys(value as object).length > 0;
    case "int":
      return goInteger(value) !== 0n;
    case "ptr":
      return !(value instanceof GoNil);
    case "float64":
      return value !== 0;
    default:
      return Boolean(value);
  }
}
