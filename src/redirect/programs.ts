import { readFile } from "node:fs/promises";
import { AgentError, stoppedOr } from "../base/index.ts";
import { type Ran, runProgram } from "../host/index.ts";

/** Runs programs, and reads the kernel's lists, in the network namespace that counts. */
export interface Programs {
  /** Rejects with PROGRAM_NOT_FOUND, TIMEOUT or STOPPED; resolves whatever the exit code is. */
  run(name: string, args: readonly string[], stdin?: string): Promise<Ran>;
  /** A file below /proc/net; undefined where there is none. */
  readNet(name: string): Promise<string | undefined>;
  /** The same for cleaning up, which a stop does not end: all that it runs gets 20 s together, then TIMEOUT. */
  cleaning(): Programs;
  /** What is run, for a shell. */
  commandLine(name: string, args: readonly string[]): string;
}

export interface ProgramsOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of another network namespace; empty for that of the process. A dry run stays in that. */
  readonly networkNamespace: string;
  readonly dryRun: boolean;
  /** The namespace is that of the process already, and its file takes the place of the lock that all of a host share. */
  readonly cniMode: boolean;
  readonly stop: AbortSignal;
}

/** The lock of iptables is waited for 30 s. */
const LIMIT_MS = 60_000;
const CLEANING_MS = 20_000;

export function programsOf(options: ProgramsOptions): Programs {
  const { env, networkNamespace, cniMode, dryRun, stop } = options;
  const isOther = networkNamespace !== "" && !cniMode && !dryRun;
  const lock = cniMode && networkNamespace !== "" ? { XTABLES_LOCKFILE: networkNamespace } : {}; // since 1.8.6
  const variables = { ...env, ...lock, LC_ALL: "C", PATH: pathOf(env) };
  const commandOf = (name: string, args: readonly string[]): readonly [file: string, ...args: string[]] =>
    isOther ? ["nsenter", `--net=${networkNamespace}`, name, ...args] : [name, ...args];
  const run: Programs["run"] = async (name, args, stdin) => {
    const [file, ...words] = commandOf(name, args);
    const ran = await runProgram(file, words, {
      ...{ env: variables, limitMs: LIMIT_MS, stop },
      ...(stdin === undefined ? {} : { stdin: { text: stdin } }),
    }).catch((error: unknown) => {
      throw stop.reason instanceof AgentError ? error : stoppedOr(error, stop);
    });
    if (isOther && ran.stderr.startsWith("nsenter: ")) throw notEntered(name, ran.stderr);
    return ran;
  };
  return {
    run,
    async readNet(name) {
      const path = `/proc/net/${name}`;
      if (!isOther) return await readFile(path, "utf8").catch(() => undefined);
      const { code, stdout } = await run("cat", [path]);
      return code === 0 ? stdout.toString("utf8") : undefined;
    },
    cleaning: () => programsOf({ ...options, stop: endOfCleaning() }),
    commandLine: (name, args) => commandOf(name, args).map(quote).join(" "),
  };
}

function endOfCleaning(): AbortSignal {
  const end = new AbortController();
  const text = `Cleaning up did not finish within ${CLEANING_MS / 1_000} s`;
  setTimeout(() => end.abort(new AgentError("TIMEOUT", text)), CLEANING_MS).unref();
  return end.signal;
}

function quote(word: string): string {
  return /^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A container's PATH may lack the folders of administration. */
function pathOf({ PATH = "" }: ProgramsOptions["env"]): string {
  return [PATH, "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].filter((part) => part !== "").join(":");
}

function notEntered(name: string, stderr: string): AgentError {
  const code = stderr.includes("failed to execute") ? "PROGRAM_NOT_FOUND" : "REDIRECT_NOT_POSSIBLE";
  return new AgentError(code, `Cannot run "${name}" in the network namespace: ${stderr.trim()}`, {
    hint: "--network-namespace takes the file of one, such as /var/run/netns/NAME or /proc/PID/ns/net.",
  });
}

/** The program was ended before it had done its work, or had not begun it: there is no answer to go on with. */
export function isCut(error: unknown): boolean {
  return error instanceof AgentError && ["STOPPED", "TIMEOUT", "REDIRECT_NOT_POSSIBLE"].includes(error.code);
}

/** What a program refused, in its own words, and what can be done. */
export function refusal(what: string, name: string, { code, signal, stderr }: Ran): AgentError {
  const said = stderr.trim() === "" ? "it printed nothing" : stderr.trim();
  const hint = HINTS.find(([pattern]) => pattern.test(stderr))?.[1];
  return new AgentError("REDIRECT_FAILED", `${what}: "${name}" ended with ${code ?? signal}: ${said}`, {
    ...(hint === undefined ? {} : { hint }),
  });
}

const MODULES =
  "nf_nat, nf_conntrack, xt_owner, xt_REDIRECT, xt_multiport, xt_CT, xt_TPROXY, or nf_tables with nft_compat";

const HINTS: readonly (readonly [RegExp, string])[] = [
  [/Permission denied|Operation not permitted|must be root/i, "It needs root with CAP_NET_ADMIN and CAP_NET_RAW."],
  [
    /Chain already exists|File exists/i,
    "Rules of another run are there: --reconcile replaces them, --cleanup-only removes them.",
  ],
  [
    /insmod|Table does not exist|No chain\/target\/match|No such file or directory|Protocol not supported|not supported|Could not fetch rule set/i,
    `The kernel may lack a module; load it on the host with modprobe: ${MODULES}.`,
  ],
];

const CAP_NET_ADMIN = 12n; // capabilities(7)

/** Rejects with REDIRECT_NOT_POSSIBLE where the kernel would refuse every change. `status` is a file as /proc/self/status. */
export async function checkRights(status = "/proc/self/status"): Promise<void> {
  if (process.platform !== "linux") {
    throw new AgentError("REDIRECT_NOT_POSSIBLE", `Cannot redirect traffic on ${process.platform}: only Linux can`, {
      hint: "--dry-run shows the rules anywhere.",
    });
  }
  const [, rights] = /^CapEff:\s*([0-9a-f]+)$/m.exec(await readFile(status, "utf8")) ?? [];
  if (rights === undefined || ((BigInt(`0x${rights}`) >> CAP_NET_ADMIN) & 1n) === 1n) return;
  const user = process.getuid?.() === 0 ? "root, which lacks CAP_NET_ADMIN" : `user ${process.getuid?.()}`;
  throw new AgentError("REDIRECT_NOT_POSSIBLE", `Cannot change the rules of the network as ${user}`, {
    hint: "Run it as root, in a container with the capabilities NET_ADMIN and NET_RAW; --dry-run needs neither.",
  });
}
