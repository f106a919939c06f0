import type { TemplateFunctions } from "../language/functions.ts";
import { DEFAULTS } from "./defaults.ts";
import { DICTS } from "./dicts.ts";
import { type Environment, environmentFunctions } from "./environment.ts";
import { LIBRARY } from "./library.ts";
import { LISTS } from "./lists.ts";
import { NUMBERS } from "./numbers.ts";
import { PATHS } from "./paths.ts";
import { TEXTS } from "./texts.ts";

export type { Environment } from "./environment.ts";

/**
 * Every function of sprig 3.3.0 but those that make keys, certificates or password hashes, which no bootstrap and no pod
 * should do, and `getHostByName`, which would have to block. Source: Masterminds/sprig functions.go.
 */
export function sprigFunctions(environment: Environment): TemplateFunctions {
  return { ...WITHOUT_ENVIRONMENT, ...environmentFunctions(environment) };
}

/** Names under which sprig has a function once more; where something is wrong, ours fail in any case. */
function otherNames(all: TemplateFunctions): TemplateFunctions {
  const must =
    "DateModify ToDate Compact FromJson ToJson ToPrettyJson ToRawJson DeepCopy Merge MergeOverwrite Append Push Prepend " +
    "First Rest Last Initial Reverse Uniq Without Has Slice Chunk RegexMatch RegexFindAll RegexFind RegexReplaceAll " +
    "RegexReplaceAllLiteral RegexSplit";
  const pairs: (readonly [name: string, of: string])[] = [
    ...must.split(" ").map((name) => [`must${name}`, name.charAt(0).toLowerCase() + name.slice(1)] as const),
    ...([
      ["date_in_zone", "dateInZone"],
      ["date_modify", "dateModify"],
      ["must_date_modify", "dateModify"],
      ["trimall", "trimAll"],
      ["tuple", "list"],
      ["append", "push"],
      ["mustAppend", "push"],
      ["biggest", "max"],
    ] as const),
  ];
  const found = pairs.flatMap(([name, of]) => {
    const fn = Object.hasOwn(all, name) ? undefined : all[of];
    return fn === undefined ? [] : [[name, fn] as const];
  });
  return Object.fromEntries(found);
}

const FUNCTIONS = { ...LIBRARY, ...DEFAULTS, ...DICTS, ...LISTS, ...NUMBERS, ...PATHS, ...TEXTS };
const WITHOUT_ENVIRONMENT = { ...FUNCTIONS, ...otherNames(FUNCTIONS) };
