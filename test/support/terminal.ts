import { spawn, spawnSync } from "node:child_process";
import { type RunOptions, type Runtime, run } from "./pilotboat.ts";

/** Why a test cannot have a terminal or a shell here: one visible line, undefined where it can. */
export function missing(...programs: readonly string[]): string | undefined {
  const absent = programs.filter((program) => spawnSync(program, ["--version"]).error !== undefined);
  if (absent.length === 0) return undefined;
  const line = `not tested here: there is no ${absent.join(" and no ")}`;
  console.warn(line);
  return line;
}

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

const SCRIPT: Runtime = { name: "a terminal", command: ["script", "--quiet", "--return", "--command"] };

/** Runs a command line of a runtime in a terminal of that many columns, which `script` of util-linux is. Both outputs are one. */
export async function runInTerminal(
  runtime: Runtime,
  args: readonly string[],
  { columns = 80, ...options }: RunOptions & { readonly columns?: number } = {},
): Promise<{ readonly code: number | null; readonly screen: string }> {
  const line = `stty cols ${columns}; exec ${[...runtime.command, ...args].map(quote).join(" ")}`;
  const { code, stdout } = await run(SCRIPT, [line, "/dev/null"], options);
  return { code, screen: stdout.replaceAll("\r\n", "\n") };
}

export interface Shell extends AsyncDisposable {
  type(text: string): void;
  /** Everything on the screen so far that was not waited for, up to the first match. */
  waitFor(pattern: RegExp): Promise<string>;
}

/** An interactive shell in a terminal, as a person has it. */
export function startShell(command: string, env: Readonly<Record<string, string>> = {}): Shell {
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn("script", ["--quiet", "--command", command, "/dev/null"], {
    env: { PATH, HOME, TERM: "xterm", ...env },
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  const ended = new Promise<void>((done) => child.once("close", () => done()));
  let screen = "";
  let look = (): void => undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    screen += text;
    look();
  });
  return {
    type: (text) => void child.stdin.write(text),
    waitFor: (pattern) =>
      new Promise((found, fail) => {
        void ended.then(() => fail(new Error(`The shell ended without showing ${pattern}:\n${screen}`)));
        look = () => {
          const match = pattern.exec(screen);
          if (match === null) return;
          look = () => undefined;
          const seen = screen.slice(0, match.index + match[0].length);
          screen = screen.slice(seen.length);
          found(seen);
        };
        look();
      }),
    async [Symbol.asyncDispose]() {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
      await ended;
    },
  };
}
