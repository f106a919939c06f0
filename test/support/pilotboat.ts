import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { runMark } from "./processes.ts";

/** One way of starting pilotboat: a name for the test report, and the words before the arguments. */
export interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
}

/** Both forms of the product, or only the one that `PILOTBOAT_COMMAND` names. */
export function runtimes(): Runtime[] {
  const chosen = process.env.PILOTBOAT_COMMAND;
  if (chosen !== undefined) return [{ name: chosen, command: chosen.split(" ") }];
  const executable = resolve("dist/pilotboat");
  if (!existsSync(executable)) throw new Error('dist/pilotboat is missing: run "npm run build:executable" first');
  return [
    { name: "Node", command: [process.execPath, resolve("dist/main.js")] },
    { name: "the executable", command: [executable] },
  ];
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to a small environment of PATH, HOME and the cache's place. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunningCommand extends AsyncDisposable {
  readonly pid: number;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  stdout(): string;
  stderr(): string;
  /** The first match in what was printed so far or will be; fails when the process ends without it. */
  waitFor(pattern: RegExp): Promise<RegExpMatchArray>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a command in its own process group; disposing it kills the group if it is still there. */
export function start(runtime: Runtime, args: readonly string[], options: RunOptions = {}): RunningCommand {
  const [file = "", ...before] = runtime.command;
  const { PATH = "", HOME = "", XDG_CACHE_HOME } = process.env;
  const base = { PATH, HOME, ...(XDG_CACHE_HOME !== undefined && { XDG_CACHE_HOME }), ...runMark() };
  const child = spawn(file, [...before, ...args], {
    cwd: options.cwd,
    env: { ...base, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  return watch(child);
}

/** Runs a command to its end. */
export async function run(runtime: Runtime, args: readonly string[], options: RunOptions = {}) {
  await using command = start(runtime, args, options);
  const { code } = await command.ended;
  return { code, stdout: command.stdout(), stderr: command.stderr() };
}

function watch(child: ChildProcess): RunningCommand {
  let out = "";
  let err = "";
  const listeners = new Set<() => void>();
  const changed = (): void => {
    for (const listener of listeners) listener();
  };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    changed();
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    err += text;
    changed();
  });
  let isOver = false;
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done, fail) => {
    child.once("error", fail);
    child.once("close", (code, signal) => {
      isOver = true;
      done({ code, signal });
      changed();
    });
  });
  const pid = child.pid ?? 0;
  return {
    pid,
    ended,
    stdout: () => out,
    stderr: () => err,
    kill: (signal) => void process.kill(pid, signal),
    waitFor: (pattern) =>
      new Promise((found, fail) => {
        const look = (): void => {
          const match = `${out}\n${err}`.match(pattern);
          if (match === null && !isOver) return;
          listeners.delete(look);
          if (match !== null) found(match);
          else fail(new Error(`The command ended without printing ${pattern}:\n${out}\n${err}`));
        };
        listeners.add(look);
        look();
      }),
    async [Symbol.asyncDispose]() {
      if (!isOver) process.kill(-pid, "SIGKILL");
      await ended;
    },
  };
}
