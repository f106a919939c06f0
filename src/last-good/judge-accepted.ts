import type { Subscription } from "./subscription.ts";

export interface Accepted {
  readonly subscription: Subscription;
  /** Whole states. */
  readonly isSotw: boolean;
  /** It is the first of its type that Envoy accepts on the stream. */
  readonly isFirst: boolean;
  /** Envoy has accepted more than is stored. */
  readonly isBehind: boolean;
  /** Names in the response. */
  readonly names: ReadonlySet<string>;
  /** Names that are gone, as the response says. */
  readonly removed: readonly string[];
  /** Names that are stored; undefined where nothing is known of the type. */
  readonly stored: Pick<ReadonlyMap<string, unknown>, "has" | "keys"> | undefined;
}

/**
 * What becomes of a type: the response is stored and these names go; `skip`: what is stored stays as it is; `forget`: it
 * is less than Envoy has, and would be served as if it were all.
 */
export type Judgement =
  | { readonly kind: "store"; readonly removed: readonly string[]; readonly isWhole: boolean }
  | { readonly kind: "skip" }
  | { readonly kind: "forget" };

/** What a response that Envoy accepted means for what is stored. */
export function judgeAccepted(accepted: Accepted): Judgement {
  const { subscription, isSotw, isFirst, isBehind, names, removed, stored } = accepted;
  const known = [...(stored?.keys() ?? [])];
  const gone = removed.filter((name) => stored?.has(name));
  const without = (isMeant: (name: string) => boolean): string[] =>
    known.filter((name) => !names.has(name) && !isMeant(name));
  if (!subscription.isWildcard) {
    const wanted = subscription.names;
    const isComplete = [...wanted].every((name) => names.has(name) || (stored?.has(name) && !removed.includes(name)));
    // until everything is there, what an earlier Envoy asked for may be asked for again
    const unwanted = isComplete ? without((name) => wanted.has(name)) : [];
    return { kind: "store", removed: [...new Set([...gone, ...unwanted])], isWhole: false };
  }
  if (isSotw || (isFirst && subscription.isFresh))
    return { kind: "store", removed: without(() => false), isWhole: true };
  if (isBehind) return { kind: "skip" };
  if (stored === undefined) return { kind: "forget" };
  if (!isFirst) return { kind: "store", removed: gone, isWhole: false };
  // a client that reconnects: stored is exactly what it had, or the rest is unknown
  const initial = subscription.initial ?? new Set();
  const hasAll = [...initial].every((name) => stored.has(name) || names.has(name) || removed.includes(name));
  if (!hasAll) return { kind: "forget" };
  const others = without((name) => initial.has(name));
  return { kind: "store", removed: [...new Set([...gone, ...others])], isWhole: false };
}
