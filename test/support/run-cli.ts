import { Writable } from "node:stream";
import { runCli } from "../../src/cli/index.ts";

export interface CliOptions {
  readonly cwd: string;
  /** All that the command sees. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Runs a command line in this process, with streams in memory. */
export async function runInProcess(args: readonly string[], { cwd, env }: CliOptions) {
  const never = new AbortController().signal;
  const [stdout, stderr] = [collect(), collect()];
  const signals = { stop: never, hurry: never, force: never };
  const code = await runCli(args, { env, cwd, stdout: stdout.stream, stderr: stderr.stream, signals });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function collect() {
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { stream, text: () => text };
}
