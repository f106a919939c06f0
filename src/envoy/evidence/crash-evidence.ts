import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  describeError,
  escapeText,
  holdFolder,
  type Logger,
  makeFolder,
  readTextFile,
  removeTree,
} from "../../base/index.ts";
import { hideSecrets, hideSecretsInText, hideSecretsInTexts, hideSecretsInWord } from "../../istio/index.ts";
import { findCoreDump } from "./core-dump.ts";

/** What is known of an Envoy that ended, or was ended, without having been asked to. */
export interface CrashFacts {
  /** `crashed`, `could not start`, `hung`, `exited`: stands after "Envoy" in the message. */
  readonly what: string;
  /** `signal: segmentation fault`, `exit status 1`, `the admin did not answer 3 times`. */
  readonly reason: string;
  readonly pid: number;
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly endedMs: number;
  /** It answered as live at some time. */
  readonly wasLive: boolean;
  /** The last lines of stderr, oldest first. */
  readonly lastLines: readonly string[];
  readonly binary: string;
  readonly version: string | undefined;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Absolute path of the bootstrap; it is copied when it is JSON. */
  readonly bootstrapFile: string | undefined;
  /** The cgroup's count of kills for want of memory, before the spawn and after the end. */
  readonly oomKillsBefore: number | undefined;
  readonly oomKillsAfter: number | undefined;
  /** Of a hung Envoy, taken before it was ended. */
  readonly threads: string | undefined;
}

export interface EvidenceOptions {
  readonly log: Logger;
  /** How many folders of this kind stay, the newest. Default 5. */
  readonly keep?: number;
}

const KEPT = 5;
/** A bootstrap of ours has 20 kB; what is beyond this limit is not copied. */
const MOST_BOOTSTRAP_BYTES = 4 * 2 ** 20;

/**
 * Keeps what is known of an unexpected end in a folder of its own, `<folder>/<UTC time>-<pid>` (0700, files 0600), and
 * says in a line or two of the log what happened and where to look. Resolves with the folder, or undefined when nothing
 * could be kept, which is one warning. Never rejects; secrets are hidden in everything that is written. The files are
 * small and are written at once: mostly the agent ends with its Envoy, and the end waits for them.
 */
export async function keepEvidence(
  folder: string,
  facts: CrashFacts,
  { log, keep = KEPT }: EvidenceOptions,
): Promise<string | undefined> {
  const own = join(folder, nameOf(facts));
  const kept = await write(folder, own, facts, log);
  for (const line of describeCrash(facts, kept ? own : undefined)) log.error(line);
  if (kept) await removeOldest(folder, keep, log);
  return kept ? own : undefined;
}

/** `Envoy crashed: signal: segmentation fault after 3 m 2 s, pid 12; evidence in /…`, then what may explain it. */
export function describeCrash(facts: CrashFacts, folder: string | undefined): readonly string[] {
  const { what, reason, pid, startedMs, endedMs } = facts;
  const where = folder === undefined ? "" : `; evidence in ${folder}`;
  const line = `Envoy ${what}: ${reason} after ${span(endedMs - startedMs)}, pid ${pid}${where}`;
  const hint = memoryHint(facts);
  return hint === undefined ? [line] : [line, hint];
}

type MemoryVerdict = "likely" | "no" | "unknown";

/** Whether the kernel ended Envoy for want of memory: it kills with SIGKILL, and counts. */
function memoryVerdict({ signal, oomKillsBefore, oomKillsAfter }: CrashFacts): MemoryVerdict {
  if (signal !== "SIGKILL") return "no";
  if (oomKillsBefore === undefined || oomKillsAfter === undefined) return "unknown";
  return oomKillsAfter > oomKillsBefore ? "likely" : "no";
}

function memoryHint(facts: CrashFacts): string | undefined {
  const verdict = memoryVerdict(facts);
  if (verdict === "likely") return "The kernel killed a process for lack of memory; raise the memory limit";
  return verdict === "unknown" ? "Possibly out of memory; check the container's memory limit" : undefined;
}

async function write(folder: string, own: string, facts: CrashFacts, log: Logger): Promise<boolean> {
  let isReported = false;
  try {
    const bootstrap = await readBootstrap(facts.bootstrapFile);
    await makeFolder(folder, 0o700);
    await using place = await holdFolder(folder);
    mkdirSync(place.at(basename(own)), { mode: 0o700 });
    await using inside = await holdFolder(own);
    const put = (name: string, text: string): void =>
      writeFileSync(inside.at(name), escapeText(text), { mode: 0o600, flag: "wx" });
    const clean = (text: string): string => hideSecretsInText(text, bootstrap.hidden);
    const told = hideSecretsInTexts(await report(facts, bootstrap.note), bootstrap.hidden);
    put("report.json", `${JSON.stringify(told, null, 2)}\n`);
    isReported = true;
    put("stderr.txt", clean(facts.lastLines.map((line) => `${line}\n`).join("")));
    if (bootstrap.text !== undefined) put("bootstrap.json", bootstrap.text);
    if (facts.threads !== undefined) put("threads.txt", clean(facts.threads));
    return true;
  } catch (error) {
    log.warn("Cannot keep all evidence of Envoy's exit", { folder: own, error: describeError(error) });
    if (!isReported) await removeFolders(folder, [basename(own)]).catch(() => undefined); // an empty one helps nobody
    return isReported;
  }
}

async function report(facts: CrashFacts, bootstrapNote: string): Promise<Record<string, unknown>> {
  const { what, reason, pid, exitCode, signal, startedMs, endedMs, wasLive, binary, version, args, cwd } = facts;
  return {
    what,
    reason,
    pid,
    exitCode: exitCode ?? null,
    signal: signal ?? null,
    coreDump: await findCoreDump({ signal, pid, binary, cwd, startedMs }),
    started: new Date(startedMs).toISOString(),
    ended: new Date(endedMs).toISOString(),
    uptimeMs: endedMs - startedMs,
    wasLive,
    killedForMemory: memoryVerdict(facts),
    version: version ?? null,
    binary,
    args: args.map(hideSecretsInWord),
    bootstrap: bootstrapNote,
  };
}

interface CopiedBootstrap {
  readonly text: string | undefined;
  readonly note: string;
  readonly hidden: ReadonlySet<string>;
}

/** Only of JSON is it known where its secrets stand. */
async function readBootstrap(path: string | undefined): Promise<CopiedBootstrap> {
  const without = (note: string): CopiedBootstrap => ({ text: undefined, note, hidden: new Set() });
  if (path === undefined) return without("none");
  try {
    const document = parse(await readTextFile(path, { mostBytes: MOST_BOOTSTRAP_BYTES }));
    if (document === undefined) return without(`${path}, not copied: it is not JSON, and may hold secrets`);
    const cleaned = hideSecrets(document);
    return {
      text: `${JSON.stringify(cleaned.document, null, 2)}\n`,
      note: `copied from ${path}`,
      hidden: cleaned.hidden,
    };
  } catch (error) {
    return without(`${path}, not copied: ${describeError(error)}`);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const OUR_FOLDER = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z-\d+$/;

/** `2026-08-01T10-00-00.123Z-4711`: names sort by time. */
function nameOf({ endedMs, pid }: CrashFacts): string {
  return `${new Date(endedMs).toISOString().replaceAll(":", "-")}-${pid}`;
}

async function removeOldest(folder: string, keep: number, log: Logger): Promise<void> {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    const ours = entries.filter((entry) => entry.isDirectory() && OUR_FOLDER.test(entry.name));
    const names = ours.map(({ name }) => name).sort();
    await removeFolders(folder, names.slice(0, Math.max(0, names.length - keep)));
  } catch (error) {
    log.warn("Cannot remove old evidence", { folder, error: describeError(error) });
  }
}

/** The two largest units: `3 m 2 s`, `250 ms`. */
function span(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1_000);
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} m`;
  return minutes > 0 ? `${minutes} m ${seconds % 60} s` : `${seconds} s`;
}

async function removeFolders(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) await removeTree(join(folder, name));
}
