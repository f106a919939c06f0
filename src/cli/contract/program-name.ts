/** The program's own name, in which descriptions, hints and messages are written. */
export const PROGRAM = "pilotboat";

/** The name by which pods, probes and hooks of Istio call it. */
export const DROP_IN = "pilot-agent";

/** A command that is a program of its own when it is called by this name. Source: istio/istio tools/istio-iptables. */
export const IPTABLES = "istio-iptables";

/** Every command, in the order of its group on the root help page. */
const COMMAND_NAMES = [
  ...(["up", "proxy", "run", "envoy", "credentials", "connect", "clone", "gateway", "inject"] as const),
  ...(["use-local-istiod", "reload", "control-plane", "status", "ps", "proxy-config", "xds", "doctor"] as const),
  ...(["config", "bootstrap", "request", "wait", "iptables", "version", "completion"] as const),
] as const;
export type CommandName = (typeof COMMAND_NAMES)[number];

const FOLLOWING = [...COMMAND_NAMES, IPTABLES, "pc", "help", "COMMAND"].join("|");
const COMMAND_LINE = new RegExp(`(?<![\\w./-])${PROGRAM} (${FOLLOWING})(?![\\w-])`, "g");

/**
 * The same words for somebody who called the program by another name: `pilotboat wait` becomes `pilot-agent wait`. Goes
 * through strings, lists and plain objects. Only command lines change: elsewhere `pilotboat` is the product's name.
 */
export function asCalled<T>(words: T, program: string): T {
  return program === PROGRAM ? words : (renamed(words, program) as T);
}

function renamed(words: unknown, program: string): unknown {
  if (typeof words === "string") return words.replace(COMMAND_LINE, (_, name: string) => commandLine(program, name));
  if (Array.isArray(words)) return words.map((one) => renamed(one, program));
  if (typeof words !== "object" || words === null) return words;
  return Object.fromEntries(Object.entries(words).map(([key, value]) => [key, renamed(value, program)]));
}

function commandLine(program: string, name: string): string {
  const isIptables = name === "iptables" || name === IPTABLES;
  if (program === IPTABLES) return isIptables ? IPTABLES : `${PROGRAM} ${name}`;
  return `${program} ${isIptables ? namedAs(program, "iptables") : name}`;
}

/** What a command is called on the pages of the program: with pilot-agent's name those of pilot-agent. */
export function namedAs(program: string, command: string): string {
  return program === DROP_IN && command === "iptables" ? IPTABLES : command;
}
