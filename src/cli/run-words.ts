import { type AgentError, escapeLine, parseGoDuration, toMs } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { RunOptions } from "../local/index.ts";
import { type Input, PROGRAM } from "./contract/index.ts";
import { printError } from "./print-error.ts";

/** Flags of the commands that run a sidecar beside something else. */
export const RUN_FLAGS = [
  {
    name: "ready-timeout",
    type: "duration",
    default: "60s",
    help: "Longest time to wait until the sidecar is ready",
  },
  {
    name: "verbose",
    shorthand: "v",
    type: "bool",
    default: false,
    help: "Show all log lines of the agent, not only warnings and errors",
  },
] as const;

/** The flags of `proxy` among those that were given, as `--name=value`. */
export function proxyFlags(given: Input<[]>["given"], own: readonly { readonly name: string }[]): string[] {
  return [...given].flatMap(([name, value]) => {
    if (own.some((flag) => flag.name === name)) return [];
    return (Array.isArray(value) ? value : [value]).map((one) => `--${name}=${String(one)}`);
  });
}

/** What is said to the run of somebody else's identity, whose run folder and domain are its own. Throws USAGE. */
export function ownWords(
  { flags, given, usage }: Pick<Input<typeof RUN_FLAGS>, "flags" | "given" | "usage">,
  own: readonly { readonly name: string }[],
  [file, ...rest]: readonly string[],
) {
  for (const flag of ["run-folder", "domain"]) {
    if (given.has(flag)) throw usage(`Cannot use --${flag}: it is decided by what is taken from the cluster`);
  }
  const command: RunOptions["command"] = file === undefined ? undefined : [file, ...rest];
  return { proxy: proxyFlags(given, own), readyTimeoutMs: readyTimeoutMs(flags["ready-timeout"], usage), command };
}

/** Throws USAGE. */
export function readyTimeoutMs(text: string, usage: (message: string) => AgentError): number {
  const duration = parseGoDuration(text);
  if (duration !== undefined && duration > 0n) return toMs(duration);
  throw usage(`Cannot read --ready-timeout "${text}": expected a duration such as 90s`);
}

/** Tells on stderr when the sidecar is ready, and why Envoy failed for good. */
export function runNews(host: Host): Pick<RunOptions, "onReady" | "onAddress" | "onFailure"> {
  const tell = ([name, address]: readonly [string, string]): void =>
    void host.stderr.write(`  ${name.padEnd(14)} ${escapeLine(address)}\n`);
  return {
    onReady({ addresses, readyMs }) {
      host.stderr.write(`${host.program ?? PROGRAM}: the proxy is ready after ${Math.round(readyMs)} ms\n`);
      for (const address of addresses) tell(address);
    },
    onAddress: tell,
    onFailure: (failure) => printError(host, failure),
  };
}
