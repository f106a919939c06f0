import { type GoMap, type GoValue, goKind, goTyped } from "../go-value.ts";
import { sortedEntries } from "../language/format.ts";
import { goFunctions, isTrue } from "../language/functions.ts";
import { toText } from "./cast.ts";

type Dict = Record<string, GoValue>;

/** Source: Masterminds/sprig dict.go. Where Go's order is by chance, ours is by key. */
export const DICTS = goFunctions({
  dict: [
    "...any",
    (...words: GoValue[]) => {
      const pairs = words.flatMap((word, at) =>
        at % 2 === 0 ? [[toText(word), at + 1 < words.length ? words[at + 1] : ""]] : [],
      );
      return Object.fromEntries(pairs);
    },
  ],
  get: ["dict string", (dict: GoMap, key: string) => (Object.hasOwn(dict, key) ? dict[key] : "")],
  set: ["dict string any", (dict: Dict, key: string, value: GoValue) => put(dict, key, value)],
  unset: [
    "dict string",
    (dict: Dict, key: string) => {
      delete dict[key];
      return dict;
    },
  ],
  hasKey: ["dict string", (dict: GoMap, key: string) => Object.hasOwn(dict, key)],
  pluck: [
    "string ...dict",
    (key: string, ...dicts: GoMap[]) => dicts.flatMap((dict) => (Object.hasOwn(dict, key) ? [dict[key]] : [])),
  ],
  keys: [
    "...dict",
    (...dicts: GoMap[]) =>
      goTyped(
        dicts.flatMap((dict) => sortedEntries(dict).map(([key]) => key)),
        "[]string",
      ),
  ],
  values: ["dict", (dict: GoMap) => sortedEntries(dict).map(([, value]) => value)],
  pick: ["dict ...string", (dict: GoMap, ...keys: string[]) => filtered(dict, (key) => keys.includes(key))],
  omit: ["dict ...string", (dict: GoMap, ...keys: string[]) => filtered(dict, (key) => !keys.includes(key))],
  merge: ["dict ...dict", (into: Dict, ...from: GoMap[]) => merged(into, from, false)],
  mergeOverwrite: ["dict ...dict", (into: Dict, ...from: GoMap[]) => merged(into, from, true)],
  dig: ["...any", dig],
});

function put(dict: Dict, key: string, value: GoValue): Dict {
  Object.defineProperty(dict, key, { value, enumerable: true, configurable: true, writable: true });
  return dict;
}

function filtered(dict: GoMap, isKept: (key: string) => boolean): Dict {
  return Object.fromEntries(Object.entries(dict).filter(([key]) => isKept(key)));
}

/** Source: dario.cat/mergo: maps are merged, what is empty is filled; with `isOver` what is not empty wins. */
function merged(into: Dict, sources: readonly GoMap[], isOver: boolean): Dict {
  for (const source of sources) {
    for (const [key, value] of Object.entries(source)) {
      const own = Object.hasOwn(into, key) ? into[key] : undefined;
      if (goKind(own) === "map" && goKind(value) === "map") merged(own as Dict, [value as GoMap], isOver);
      else if (isOver ? isTrue(value) || !Object.hasOwn(into, key) : !isTrue(own)) put(into, key, value);
    }
  }
  return into;
}

function dig(...words: GoValue[]): GoValue {
  if (words.length < 3) throw new Error("dig needs at least three arguments");
  const keys = words.slice(0, -2);
  const usual = words.at(-2);
  let at = words.at(-1);
  for (const key of keys) {
    if (goKind(at) !== "map") throw new Error(`interface conversion: interface {} is not map[string]interface {}`);
    if (typeof key !== "string") throw new Error("interface conversion: interface {} is not string");
    const dict = at as GoMap;
    if (!Object.hasOwn(dict, key)) return usual;
    at = dict[key];
  }
  return at;
}
