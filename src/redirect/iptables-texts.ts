import type { Rule, Table } from "./iptables-rules.ts";

/** What iptables knows by itself: never made, never removed. */
const BUILT_IN = ["INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING", "ACCEPT", "RETURN", "DROP"];

/** The input of iptables-restore: by table in alphabetical order, new chains first. */
export function restoreText(rules: readonly Rule[]): string {
  const tables = [...new Set(rules.map(({ table }) => table))].sort();
  const lines = tables.flatMap((table) => {
    const own = rules.filter((rule) => rule.table === table);
    return [`* ${table}`, ...newChains(own).map((chain) => `-N ${chain}`), ...own.map(lineOf), "COMMIT"];
  });
  return lines.map((line) => `${line}\n`).join("");
}

/** First the chains that rules live in, then those that one jumps to. */
function newChains(rules: readonly Rule[]): string[] {
  const named = [...rules.map(({ chain }) => chain), ...rules.flatMap(({ words }) => lastTarget(words) ?? [])];
  return [...new Set(named)].filter((chain) => !BUILT_IN.includes(chain));
}

/** The target of a rule that ends with it, without options of its own. */
function lastTarget(words: string): string | undefined {
  return /(?:^| )-j (\S+)$/.exec(words)?.[1];
}

function lineOf({ chain, words, position }: Rule): string {
  return position === undefined ? `-A ${chain} ${words}` : `-I ${chain} ${position} ${words}`;
}

/** One call of iptables, without the program. */
export type Call = readonly string[];

/** Calls that succeed where every rule is there. */
export function checkCalls(rules: readonly Rule[]): Call[] {
  return rules.map((rule) => onRule("-C", rule));
}

/**
 * Calls that remove the rules and their chains, last first. Rules of our own chains go with the chain, except those that jump
 * to another one, which could not be removed before them.
 */
export function cleanupCalls(rules: readonly Rule[]): Call[] {
  const backwards = rules.toReversed();
  const single = backwards.filter(({ chain, words }) => !chain.startsWith("ISTIO_") || / -j ISTIO_/.test(` ${words}`));
  const chains = new Map(backwards.map(({ table, chain }) => [`${table} ${chain}`, { table, chain }]));
  const own = [...chains.values()].filter(({ chain }) => !BUILT_IN.includes(chain));
  return [
    ...single.map((rule) => onRule("-D", rule)),
    ...own.flatMap(({ table, chain }) => [
      ["-t", table, "-F", chain],
      ["-t", table, "-X", chain],
    ]),
  ];
}

function onRule(action: "-C" | "-D", { table, chain, words }: Rule): Call {
  return ["-t", table, action, chain, ...words.split(/ +/)];
}

/** By it a guardrail is known from a rule of somebody else that drops the same. */
const GUARDRAIL_MARK = ["-m", "comment", "--comment", "pilotboat-guardrail"];

const GUARDED = ["INPUT", "FORWARD", "OUTPUT"].flatMap((chain) =>
  ["tcp", "udp"].map((protocol) => ({ chain, words: ["-p", protocol, ...GUARDRAIL_MARK, "-j", "DROP"] })),
);

/** Calls that let no traffic through while the rules are replaced. */
export const GUARDRAILS: readonly Call[] = GUARDED.map(({ chain, words }) => [
  "-t",
  "filter",
  "-I",
  chain,
  "1",
  ...words,
]);

/** Calls that end that. */
export const GUARDRAILS_OFF: readonly Call[] = GUARDED.map(({ chain, words }) => [
  "-t",
  "filter",
  "-D",
  chain,
  ...words,
]);

/** Whether iptables-save shows a guardrail: a run was killed while rules were replaced. */
export function hasGuardrails(saved: string): boolean {
  return saved.includes(GUARDRAIL_MARK.join(" "));
}

/** Rules by table and chain. */
export type SavedState = ReadonlyMap<Table, ReadonlyMap<string, readonly string[]>>;

const TABLES: readonly Table[] = ["filter", "nat", "mangle", "raw"];

/** What iptables-save printed, or iptables-restore is given: our own chains, and every chain that has rules. */
export function readSavedState(text: string): SavedState {
  const state = new Map<Table, Map<string, string[]>>();
  let chains: Map<string, string[]> | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) {
      const table = TABLES.find((one) => one === line.slice(1).trim());
      chains = table === undefined ? undefined : (state.get(table) ?? new Map());
      if (table !== undefined && chains !== undefined) state.set(table, chains);
    }
    const [, newChain] = /^(?::|-N )(ISTIO\S*)/.exec(line) ?? [];
    const [, chain] = /^(?:-A|-I) (\S+)/.exec(line) ?? [];
    const name = newChain ?? chain;
    if (name === undefined || chains === undefined) continue;
    const rules = chains.get(name) ?? [];
    chains.set(name, chain === undefined ? rules : [...rules, line]);
  }
  return state;
}

export function isEmptyState(state: SavedState): boolean {
  return [...state.values()].every((chains) => chains.size === 0);
}

/**
 * Whether each chain of `wanted` is there, our own with as many rules, and no other one of ours. Order, and rules of others in
 * the chains that iptables has by itself, do not count.
 */
export function hasSameShape(wanted: SavedState, found: SavedState): boolean {
  const hasAll = [...wanted].every(([table, chains]) =>
    [...chains].every(([chain, rules]) => {
      const there = found.get(table)?.get(chain);
      return there !== undefined && (!chain.startsWith("ISTIO_") || there.length === rules.length);
    }),
  );
  const hasMore = [...found].some(([table, chains]) =>
    [...chains.keys()].some((chain) => chain.startsWith("ISTIO_") && wanted.get(table)?.has(chain) !== true),
  );
  return hasAll && !hasMore;
}
