import { readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

/** Whether a core dump was written, as far as a parent without the kernel's own flag can know. */
export type CoreDump =
  | { readonly kind: "no"; readonly why: string }
  | { readonly kind: "found"; readonly file: string }
  | { readonly kind: "perhaps"; readonly why: string };

export interface CoreDumpOptions {
  readonly signal: NodeJS.Signals | undefined;
  readonly pid: number;
  readonly binary: string;
  /** Envoy's working directory, where relative names of dumps begin. */
  readonly cwd: string;
  /** Milliseconds since the epoch; older files are another one's. */
  readonly startedMs: number;
  /** Root of the file system. Default `/`. */
  readonly root?: string;
}

/** By default these end a process with a dump. Source: signal(7). */
const DUMPING: readonly string[] = [
  ...["SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGQUIT", "SIGSEGV", "SIGSYS", "SIGTRAP", "SIGXCPU", "SIGXFSZ"],
];

/**
 * Node tells the signal but not the flag beside it, so the dump itself is looked for, where the kernel's pattern says.
 * Never rejects. Source: core(5).
 */
export async function findCoreDump(options: CoreDumpOptions): Promise<CoreDump> {
  const { signal, pid, binary, cwd, startedMs, root = "/" } = options;
  if (signal === undefined || !DUMPING.includes(signal)) return { kind: "no", why: "the exit was not of that kind" };
  const pattern = await line(join(root, "proc/sys/kernel/core_pattern"));
  if (pattern === undefined) return { kind: "perhaps", why: "this system has no such place" };
  if (pattern.startsWith("|")) return { kind: "perhaps", why: `dumps go to the program ${pattern.slice(1)}` };
  const name = fillPattern(pattern, pid, binary);
  if (name === undefined) return { kind: "perhaps", why: `it would be named ${pattern}` };
  const withPid = (await line(join(root, "proc/sys/kernel/core_uses_pid"))) === "1" && !pattern.includes("%p");
  const file = resolve(cwd, withPid ? `${name}.${pid}` : name);
  const found = await stat(file).catch(() => undefined);
  if (found === undefined || found.mtimeMs < startedMs) return { kind: "no", why: `there is none at ${file}` };
  return { kind: "found", file };
}

/** The kernel keeps 15 characters of a name. */
const LONGEST_COMMAND = 15;

/** Undefined when the name holds what only the kernel knows, such as the time of the dump. */
function fillPattern(pattern: string, pid: number, binary: string): string | undefined {
  const known: Readonly<Record<string, string>> = {
    "%%": "%",
    "%p": String(pid),
    "%P": String(pid),
    "%e": basename(binary).slice(0, LONGEST_COMMAND),
  };
  const words = pattern.match(/%.?/g) ?? [];
  if (words.some((word) => known[word] === undefined)) return undefined;
  return pattern.replace(/%./g, (word) => known[word] ?? word);
}

async function line(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").then(
    (text) => text.trim(),
    () => undefined,
  );
}
