import type { NftRule, NftTable } from "./nft-rules.ts";

/** The chains of a table in the order of their making; those with a hook are where packets enter. */
const CHAINS: Readonly<Record<NftTable, readonly (readonly [name: string, hook?: string])[]>> = {
  "istio-proxy-nat": [
    ["prerouting", "type nat hook prerouting priority -100"],
    ["output", "type nat hook output priority -100"],
    ["istio-inbound"],
    ["istio-redirect"],
    ["istio-in-redirect"],
    ["istio-output"],
    ["istio-output-dns"],
  ],
  "istio-proxy-mangle": [
    ["prerouting", "type filter hook prerouting priority -150"],
    ["output", "type route hook output priority -150"],
    ["istio-divert"],
    ["istio-tproxy"],
    ["istio-inbound"],
    ["istio-drop"],
  ],
  "istio-proxy-raw": [
    ["prerouting", "type filter hook prerouting priority -300"],
    ["output", "type filter hook output priority -300"],
    ["istio-inbound"],
    ["istio-output-dns"],
  ],
};

const TABLES = Object.keys(CHAINS) as NftTable[];

/** One transaction of nft that replaces all of our rules by these. */
export function nftTransaction(rules: readonly NftRule[]): string {
  return TABLES.map((table) =>
    tableText(
      table,
      rules.filter((rule) => rule.table === table),
    ),
  ).join("");
}

function tableText(table: NftTable, rules: readonly NftRule[]): string {
  if (rules.length === 0) return "";
  const used = new Set(rules.flatMap(({ chain, words }) => [chain, / jump (\S+)$/.exec(words)?.[1]]));
  const chains = CHAINS[table].filter(([name]) => used.has(name));
  const lines = [
    `add table inet ${table}`,
    `flush table inet ${table}`,
    ...chains.map(([name, hook]) => `add chain inet ${table} ${name}${hook === undefined ? "" : ` { ${hook} ; }`}`),
    ...rules.map((rule, at) => ruleText(rule, rules.slice(0, at).filter(({ chain }) => chain === rule.chain).length)),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** nft inserts only before a rule that is there: at any other place a rule is appended. */
function ruleText({ table, chain, words, index }: NftRule, before: number): string {
  if (index === undefined || index >= before) return `add rule inet ${table} ${chain} ${words}`;
  return `insert rule inet ${table} ${chain} index ${index} ${words}`;
}

/** One transaction that removes our tables, whether they are there or not. */
export function nftCleanup(): string {
  return TABLES.map((table) => `add table inet ${table}\ndelete table inet ${table}\n`).join("");
}
