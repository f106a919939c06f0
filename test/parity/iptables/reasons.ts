import type { Json } from "../observation.ts";
import type { Reason } from "../reasons.ts";

/** Why the two may differ. A row that explains nothing any more fails the command. */
export const REASONS: readonly Reason[] = [
  {
    name: "exit code of a flag",
    at: ["exit/*"],
    when: ({ reference, pilotboat }) => reference === "255, usage" && pilotboat === "2, usage",
    why: "the same error; a command line that cannot be understood ends with 255, with pilotboat's commands with 2 (exit-codes.md)",
  },
  {
    name: "a value that iptables would refuse",
    at: ["exit/*"],
    when: ({ reference, pilotboat }) => reference === "0" && pilotboat === "1, value",
    why: "a dry run of pilot-agent prints a rule that iptables refuses; pilotboat names the value and its flag, whether dry or not",
  },
  {
    name: "variables that cannot be read",
    at: ["log/passed over"],
    when: ({ reference }) => isEmpty(reference),
    why: "both take them for false, 0, or the largest port; pilotboat says so",
  },
  {
    name: "a resolver with a zone",
    at: ["rules/*", "dry run/*", "log/lines/*"],
    when: ({ reference, pilotboat }) => String(reference).replaceAll("%eth0", "") === pilotboat,
    why: "iptables knows no zones and refuses pilot-agent's rule; pilotboat's has the address alone",
  },
  {
    name: "the variant of iptables in a second run",
    at: ["log/lines", "log/lines/*", "rules", "kernel/iptables-legacy"],
    when: ({ path, reference, pilotboat }) =>
      (path === "/iptables-legacy" && isEmpty(pilotboat)) ||
      (path.startsWith("/lines/") && /Clean-state|by iptables-save/.test(String(reference))) ||
      (Array.isArray(reference) && Array.isArray(pilotboat) && hasTwice(reference, pilotboat)),
    why: "trying the older variant makes its empty tables, which pilot-agent's next run takes for rules: then it makes them twice, or cleans up where there are none; pilotboat looks for rules, and stays with the variant that has them",
  },
  {
    name: "TPROXY a second time",
    at: ["kernel/routing rules"],
    when: ({ reference, pilotboat }) => marksIn(reference) > marksIn(pilotboat) && marksIn(pilotboat) > 0,
    why: "pilot-agent adds its routing rule once more; pilotboat sees that it is there",
  },
  {
    name: "what cleaning up leaves",
    at: ["kernel/routing rules", "kernel/routes", "kernel/addresses", "kernel/iptables"],
    when: ({ reference, pilotboat }) => hasAll(reference, pilotboat),
    why: "pilot-agent leaves its routes, even adds them, and rules that other flags made; pilotboat removes them",
  },
  {
    name: "an address to clean up",
    at: ["log/lines"],
    when: ({ reference, pilotboat }) => hasAll(reference, pilotboat) && hasAll(pilotboat, withoutAddress(reference)),
    why: "pilot-agent adds the address ::6 even when it only cleans up; pilotboat removes it",
  },
  {
    name: "a dry run of nft",
    at: ["kernel/nftables"],
    when: ({ pilotboat }) => isEmpty(pilotboat),
    why: "pilot-agent changes the kernel all the same; pilotboat only prints the transaction",
  },
  {
    name: "resolvers of the other family, by nft",
    at: ["exit/*", "kernel/nftables"],
    when: ({ area, reference, pilotboat }) =>
      (reference === "1, chain" && pilotboat === "0") || (area === "kernel" && isEmpty(reference)),
    why: "pilot-agent jumps to a chain that it does not make, and nft refuses all; pilotboat makes the chain",
  },
];

function isEmpty(value: Json | undefined): boolean {
  return Array.isArray(value) && value.every((line) => line === "");
}

function withoutAddress(lines: Json | undefined): Json | undefined {
  return Array.isArray(lines) ? lines.filter((line) => !String(line).includes("Added ::6 address")) : lines;
}

/** Whether the rules of one run are there again. */
function hasTwice(more: readonly Json[], once: readonly Json[]): boolean {
  const applied = (lines: readonly Json[]): number =>
    lines.filter((line) => line === "-A OUTPUT -j ISTIO_OUTPUT").length;
  return applied(more) > applied(once);
}

function marksIn(lines: Json | undefined): number {
  return Array.isArray(lines) ? lines.filter((line) => String(line).includes("fwmark")).length : 0;
}

function hasAll(more: Json | undefined, fewer: Json | undefined): boolean {
  return Array.isArray(more) && Array.isArray(fewer) && fewer.every((line) => more.includes(line));
}
