import type { Difference, Json, Observation } from "./observation.ts";

/**
 * Every place where the two differ, in the areas that both came to. The order of an object's members does not count. Lists of
 * the same length are compared item by item, others as a whole.
 */
export function compareObservations(reference: Observation, pilotboat: Observation): Difference[] {
  return Object.keys(reference).flatMap((area) =>
    area in pilotboat ? compareValues(area, "", reference[area], pilotboat[area]) : [],
  );
}

function compareValues(area: string, path: string, reference?: Json, pilotboat?: Json): Difference[] {
  const [left, right] = [membersOf(reference), membersOf(pilotboat)];
  if (left === undefined || right === undefined || !haveSameShape(reference, pilotboat)) {
    return Object.is(reference, pilotboat) ? [] : [{ area, path, reference, pilotboat }];
  }
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((name) =>
    compareValues(area, `${path}/${escapeName(name)}`, left.get(name), right.get(name)),
  );
}

function membersOf(value: Json | undefined): Map<string, Json> | undefined {
  return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : undefined;
}

function haveSameShape(one: Json | undefined, other: Json | undefined): boolean {
  if (Array.isArray(one) || Array.isArray(other)) {
    return Array.isArray(one) && Array.isArray(other) && one.length === other.length;
  }
  return true;
}

function escapeName(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}
