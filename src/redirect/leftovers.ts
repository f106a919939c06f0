import { OUTBOUND_MARK } from "./capture.ts";
import type { Table } from "./iptables-rules.ts";
import { type Call, readSavedState } from "./iptables-texts.ts";

// What runs of any settings have left, ours and the reference's: recognised in what iptables-save and nft print.

type Chains = ReadonlyMap<string, readonly string[]>;

/**
 * Calls that remove what iptables-save shows of our chains, every jump to one, and what belongs to them in the chains that
 * iptables has by itself. Chains come last: they tell whose the other rules are, also to the run after one that was stopped.
 */
export function leftoverCalls(saved: string): Call[] {
  const state = readSavedState(saved);
  const chains = [...state].flatMap(([table, of]) => [...of].map(([chain, rules]) => ({ table, chain, rules })));
  const own = chains.filter(({ chain }) => chain.startsWith("ISTIO_"));
  return [
    ...marking(state.get("mangle") ?? NO_CHAINS).map((rule) => removal("mangle", rule)),
    ...passing(state.get("nat") ?? NO_CHAINS).map((rule) => removal("nat", rule)),
    ...chains.flatMap(({ table, rules }) => rules.filter(isJump).map((rule) => removal(table, rule))),
    ...own.map(({ table, chain }) => ["-t", table, "-F", chain]),
    ...own.map(({ table, chain }) => ["-t", table, "-X", chain]),
  ];
}

/** The marks of TPROXY that iptables-save shows. */
export function savedMarks(saved: string): number[] {
  return marksOf(readSavedState(saved).get("mangle") ?? NO_CHAINS).map(Number);
}

/** The marks of TPROXY in what nft lists of our table. */
export function listedMarks(listed: string): number[] {
  return [...listed.matchAll(/ meta mark (0x[0-9a-f]+) counter packets \d+ bytes \d+ return$/gm)].map(([, mark]) =>
    Number(mark),
  );
}

const NO_CHAINS: Chains = new Map();

function removal(table: Table, rule: string): Call {
  return ["-t", table, ...rule.split(" ").map((word, at) => (at === 0 ? "-D" : word))];
}

function isJump(rule: string): boolean {
  return / -j ISTIO_/.test(rule);
}

const TO_ENVOY = new RegExp(
  `^-A OUTPUT ! -d \\S+ -o lo -p tcp -m owner --[ug]id-owner \\S+ -j MARK --set-xmark 0x${Number(OUTBOUND_MARK).toString(16)}/0xffffffff$`,
);

/** Rules of TPROXY in chains of iptables itself, with the mark that all of them share. */
const MARKED = [
  /^-A PREROUTING -p tcp -m mark --mark (\S+) -j CONNMARK --save-mark\b/,
  /^-A OUTPUT -o lo -p tcp -m mark --mark (\S+) -j RETURN$/,
  /^-A OUTPUT -p tcp -m connmark --mark (\S+) -j CONNMARK --restore-mark\b/,
];

/** An equal rule of somebody else stays: of each rule go as many as there were runs. */
function marking(mangle: Chains): string[] {
  const marks = marksOf(mangle);
  if (marks.length === 0) return [];
  const isOurs = (rule: string): boolean =>
    TO_ENVOY.test(rule) || MARKED.some((shape) => marks.includes(shape.exec(rule)?.[1] ?? ""));
  const runs = Math.max(1, builtIn(mangle).filter((rule) => rule === "-A PREROUTING -p tcp -j ISTIO_INBOUND").length);
  const ours = builtIn(mangle).filter(isOurs);
  return [...new Set(ours)].flatMap((rule) => ours.filter((one) => one === rule).slice(0, runs));
}

/** Our chain names the mark; without the chain, a set that is whole does. */
function marksOf(mangle: Chains): string[] {
  const named = (mangle.get("ISTIO_INBOUND") ?? []).flatMap(
    (rule) => / -m mark --mark (\S+) -j RETURN$/.exec(rule)?.[1] ?? [],
  );
  const rules = builtIn(mangle);
  const seen = MARKED.map((shape) => rules.flatMap((rule) => shape.exec(rule)?.[1] ?? []));
  const whole = rules.some((rule) => TO_ENVOY.test(rule))
    ? seen.reduce((some, more) => some.filter((mark) => more.includes(mark)))
    : [];
  return [...new Set([...named, ...whole])];
}

/** Traffic of an interface that is rerouted passes the other rules: one rule for each interface with a jump (`-k`). */
function passing(nat: Chains): string[] {
  const rules = nat.get("PREROUTING") ?? [];
  const rerouted = rules.flatMap(
    (rule) => /^-A PREROUTING (?:-d \S+ )?-i (\S+) -j ISTIO_REDIRECT$/.exec(rule)?.[1] ?? [],
  );
  return [...new Set(rerouted)]
    .map((name) => `-A PREROUTING -i ${name} -j RETURN`)
    .filter((rule) => rules.includes(rule));
}

function builtIn(chains: Chains): readonly string[] {
  return [...(chains.get("PREROUTING") ?? []), ...(chains.get("OUTPUT") ?? [])];
}
