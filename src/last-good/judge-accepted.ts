import type { TypeContents } from "./contents.ts";
import type { Subscription } from "./subscription.ts";

export interface Accepted {
  readonly subscription: Pick<Subscription, "initial" | "isWildcard" | "names">;
  /** Whole states. */
  readonly isSotw: boolean;
  /** It is the first of its type that Envoy accepts on the stream. */
  readonly isFirst: boolean;
  /** In this run everything of the type that Envoy accepted was stored. */
  readonly isInStep: boolean;
  /** Names in the response. */
  readonly names: ReadonlySet<string>;
  /** Names that are gone, as the response says. */
  readonly removed: readonly string[];
  /** Undefined where nothing is known of the type. */
  readonly stored: Pick<TypeContents, "version" | "resources"> | undefined;
}

/**
 * What becomes of a type: the response is stored and these names go; `forget`: what would be stored is less than Envoy has,
 * or something else, and would be served as if it were all.
 */
export type Judgement = { readonly kind: "store"; readonly removed: readonly string[] } | { readonly kind: "forget" };

/** What a response that Envoy accepted means for what is stored. */
export function judgeAccepted(accepted: Accepted): Judgement {
  const { subscription, isSotw, isFirst, names, removed, stored } = accepted;
  const has = (name: string): boolean => stored?.resources.has(name) ?? false;
  const without = (isMeant: (name: string) => boolean): string[] =>
    [...(stored?.resources.keys() ?? [])].filter((name) => !names.has(name) && !isMeant(name));
  const store = (others: readonly string[]): Judgement => {
    return { kind: "store", removed: [...new Set([...removed.filter(has), ...others])] };
  };
  if (!isSotw && isFirst && !isKnown(accepted)) return { kind: "forget" };
  if (!subscription.isWildcard) {
    const wanted = subscription.names;
    const isComplete = [...wanted].every((name) => names.has(name) || (has(name) && !removed.includes(name)));
    // until everything is there, what an earlier Envoy asked for may be asked for again
    return store(isComplete ? without((name) => wanted.has(name)) : []);
  }
  if (isSotw) return store(without(() => false));
  if (isFirst) return store(without((name) => subscription.initial?.has(name) ?? false));
  return stored === undefined ? { kind: "forget" } : store([]);
}

/**
 * Whether a client that opens a delta stream has nothing but what is stored, or comes anew. Istiod gives no versions: then
 * a name alone says so only where nothing was missed in this run.
 */
function isKnown({ subscription, isInStep, names, removed, stored }: Accepted): boolean {
  const isStored = (name: string, version: string): boolean => {
    const place = stored?.resources.get(name);
    if (place === undefined) return false;
    if (version === "") return place.version === "" && isInStep;
    return version === (place.version || stored?.version); // what a stand-in sends has the type's where it has none
  };
  const had = [...(subscription.initial ?? [])];
  return had.every(([name, version]) => names.has(name) || removed.includes(name) || isStored(name, version));
}
