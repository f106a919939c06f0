import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { startTicks } from "../../src/host/process-identity.ts";

/** Whether a process runs; one that has exited and that its parent has not yet collected does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return startTicks(readFileSync(`/proc/${pid}/stat`, "utf8")) !== undefined;
  } catch {
    return process.platform !== "linux"; // on Linux it exited between the two looks
  }
}

/** The processes that any thread of `pid` started and that are not collected yet; none when it is gone. Linux only. */
export function childrenOf(pid: number): number[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8"));
    return lists
      .flatMap((list) => list.trim().split(" "))
      .filter((word) => word !== "")
      .map(Number);
  } catch {
    return [];
  }
}

/** The processes whose working folder is this one or below it, also when it is removed by now. Linux only. */
export function processesIn(folder: string): number[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && workingFolder(name).startsWith(folder))
    .map(Number)
    .filter(isAlive);
}

function workingFolder(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return ""; // it ended meanwhile
  }
}

/** A variable that every process of one run of the tests has, and its value here. */
export const RUN_MARK = "PB_TEST_RUN";

/** Environment words that mark a process as one of this run. */
export function runMark(): Readonly<Record<string, string>> {
  const mark = process.env[RUN_MARK];
  return mark === undefined ? {} : { [RUN_MARK]: mark };
}

export interface Stranded {
  readonly pid: number;
  /** Which run it is of; undefined where a test gave it an environment without the mark. */
  readonly run: string | undefined;
}

/** Those whose folder a test made and removed: nobody will end them any more. Without their own children. Linux only. */
export function strandedProcesses(tmpdir: string): Stranded[] {
  const all = processesIn(`${tmpdir}/pb-`).filter((pid) => workingFolder(String(pid)).endsWith(" (deleted)"));
  return all.flatMap((pid) => {
    const parent = parentOf(pid);
    return parent !== undefined && !all.includes(parent) ? [{ pid, run: runOf(pid) }] : [];
  });
}

function runOf(pid: number): string | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    return words.find((word) => word.startsWith(`${RUN_MARK}=`))?.slice(RUN_MARK.length + 1);
  } catch {
    return undefined; // it ended meanwhile
  }
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined; // it ended meanwhile
  }
}

/** The addresses that a process listens on with TCP, each once, as in /proc/net: `0100007F` is 127.0.0.1. Linux only. */
export function listeningAddresses(pid: number): string[] {
  const sockets = openPaths(pid);
  const rows = ["tcp", "tcp6"].flatMap((file) => readFileSync(`/proc/${pid}/net/${file}`, "utf8").split("\n").slice(1));
  const found = rows.flatMap((row) => {
    const [, local = "", , state, , , , , , inode] = row.trim().split(/\s+/);
    const isOurs = state === LISTENING && sockets.includes(`socket:[${inode}]`);
    return isOurs ? [local.replace(/:.*/, "")] : [];
  });
  return [...new Set(found)];
}

const LISTENING = "0A"; // include/net/tcp_states.h

/** What the process has open, as the kernel names it: a path, "pipe:[1234]", "socket:[1234]"; " (deleted)" may follow. */
export function openPaths(pid: number): readonly string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => linkOf(`${folder}/${fd}`));
}

function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    return []; // closed between the two looks
  }
}
