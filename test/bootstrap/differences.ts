// A document as the differences from another one, for people to read: a JSON merge patch (RFC 7396) with two additions.
// An array of objects with names is written as an object, `[name]` for each; every other array stands whole. `$after`
// says which key or name an added one follows, where it is not at the end.

type Json = string | number | boolean | null | readonly Json[] | Fields;
interface Fields {
  readonly [key: string]: Json;
}

const AFTER = "$after";
const FIRST = "";

/** The patch that makes `document` out of `base`, the order of keys included; throws when there is none. */
export function differencesOf(base: Fields, document: Fields): Fields {
  const patch = differ(base, document) as Fields;
  if (JSON.stringify(applyDifferences(base, patch)) !== JSON.stringify(document)) {
    throw new Error("These differences cannot be written as a patch: keys in another order, or a null");
  }
  return patch;
}

export function applyDifferences(base: Fields, patch: Fields): Fields {
  return apply(base, patch) as Fields;
}

function differ(base: Json | undefined, document: Json): Json {
  const [before, after] = [fieldsOf(base), fieldsOf(document)];
  if (before === undefined || after === undefined || isList(base) !== isList(document)) return document;
  const patch: Record<string, Json> = {};
  const follows: Record<string, string> = {};
  const order = Object.keys(after);
  const lastKept = order.findLastIndex((key) => key in before);
  for (const [at, key] of order.entries()) {
    const value = after[key] as Json;
    if (!(key in before) && at < lastKept) follows[key] = order[at - 1] ?? FIRST;
    if (JSON.stringify(before[key]) !== JSON.stringify(value)) patch[key] = differ(before[key], value);
  }
  for (const key of Object.keys(before)) if (!(key in after)) patch[key] = null;
  return Object.keys(follows).length === 0 ? patch : { ...patch, [AFTER]: follows };
}

function apply(base: Json | undefined, patch: Json): Json {
  const before = fieldsOf(base);
  if (before === undefined || !isFields(patch)) return patch;
  const { [AFTER]: follows = {}, ...changes } = patch;
  const entries = Object.entries(before).filter(([key]) => changes[key] !== null);
  for (const [key, change] of Object.entries(changes).filter(([, value]) => value !== null)) {
    const at = entries.findIndex(([known]) => known === key);
    const place = (follows as Fields)[key];
    if (at >= 0) entries[at] = [key, apply(before[key], change)];
    else if (place === undefined) entries.push([key, change]);
    else entries.splice(entries.findIndex(([known]) => known === place) + 1, 0, [key, change]);
  }
  return isList(base) ? entries.map(([, value]) => value) : Object.fromEntries(entries);
}

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);
const isFields = (value: Json | undefined): value is Fields =>
  typeof value === "object" && value !== null && !isList(value);

/** Of an object, or of an array whose elements have names of their own. */
function fieldsOf(value: Json | undefined): Fields | undefined {
  if (isFields(value)) return value;
  if (!isList(value) || !value.every((one) => isFields(one) && typeof one.name === "string")) return undefined;
  const named = Object.fromEntries(value.map((one) => [`[${(one as Fields).name}]`, one]));
  return value.length > 0 && Object.keys(named).length === value.length ? named : undefined;
}
