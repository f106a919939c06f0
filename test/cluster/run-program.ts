import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Lifetime } from "../../src/base/index.ts";
import { CLUSTER_FILES } from "./binaries.ts";

/** Where the programs of a cluster come from, where they write, and with what they end. */
export interface ProgramPlace {
  readonly bin: string;
  readonly folder: string;
  readonly life: Lifetime;
}

export interface Program {
  readonly name: string;
  readonly child: ChildProcess;
  readonly logFile: string;
  /** SIGKILL: nothing of it is kept. Resolves when it is gone. */
  kill(): Promise<void>;
}

/** Until a program is up, on a machine that is busy with other tests. */
const LIMIT_MS = 180_000;
const POLL_MS = 50;

/** Killed at the end of the cluster at the latest; should this process be killed, a guardian does it. */
export function startProgram(
  { bin, folder, life }: ProgramPlace,
  name: keyof typeof CLUSTER_FILES,
  args: string[],
  env = {},
): Program {
  const logFile = join(folder, "log", `${name}.log`);
  const log = openSync(logFile, "a");
  const child = spawn(join(bin, CLUSTER_FILES[name]), args, {
    cwd: name === "istiod" ? join(folder, "istiod") : folder,
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const ended = new Promise<void>((done) => child.once("exit", () => done()).once("error", () => done()));
  const guardian = spawn("sh", ["-c", `cat >/dev/null; kill -9 ${child.pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guardian.unref();
  const kill = async (): Promise<void> => {
    guardian.kill("SIGKILL");
    child.kill("SIGKILL");
    await ended;
  };
  life.defer(name, kill);
  return { name, child, logFile, kill };
}

/** Tries until it succeeds; not longer than the limit, nor than the program lives. */
export async function waitFor({ name, child, logFile }: Program, attempt: () => Promise<void>): Promise<void> {
  const endMs = performance.now() + LIMIT_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const isOver = child.exitCode !== null || child.signalCode !== null;
      if (!isOver && performance.now() < endMs) {
        await new Promise((done) => setTimeout(done, POLL_MS));
        continue;
      }
      const lines = readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-5).join("\n");
      throw new Error(`${name} ${isOver ? "ended" : `is not up after ${LIMIT_MS / 1_000} s`}:\n${lines}`, {
        cause: error,
      });
    }
  }
}
