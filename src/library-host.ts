import { escapeLine } from "./base/index.ts";
import { type Host, nowhere, workingDirectory } from "./host/index.ts";

/** Tells a person why a first start takes long, where the caller takes no log. */
export function tellUser(line: string): void {
  process.stderr.write(`pilotboat: ${escapeLine(line)}\n`);
}

/** The process as a library sees it: its environment, no output, and one signal in place of the process's own. */
export function libraryHost(signal: AbortSignal | undefined): Host {
  const never = new AbortController().signal;
  return {
    env: process.env,
    cwd: workingDirectory(process.cwd),
    stdout: nowhere(),
    stderr: nowhere(),
    signals: { stop: signal ?? never, hurry: never, force: never },
  };
}
