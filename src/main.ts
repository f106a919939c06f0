#!/usr/bin/env node
import { finishOutput, type StopSignals, steadyOutput } from "./base/index.ts";
import { runCli } from "./cli/index.ts";

/** The only file that touches `process`: arguments, environment, streams and signals in, exit code out. */
async function main(): Promise<void> {
  const stdout = steadyOutput(process.stdout);
  const stderr = steadyOutput(process.stderr);
  const exitCode = await runCli(process.argv.slice(2), {
    env: process.env,
    cwd: process.cwd(),
    stdout,
    stderr,
    signals: listenForSignals(),
    onSignal: listenForAll,
  });
  await Promise.all([finishOutput(stdout), finishOutput(stderr)]);
  process.exit(exitCode);
}

const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
const OTHER_SIGNALS = ["SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"] as const;

function listenForAll(listener: (signal: NodeJS.Signals) => void): void {
  for (const name of [...STOP_SIGNALS, ...OTHER_SIGNALS]) process.on(name, () => listener(name));
}

function listenForSignals(): StopSignals {
  const stages = [new AbortController(), new AbortController(), new AbortController()] as const;
  const [stop, hurry, force] = stages;
  let received = 0;
  for (const name of STOP_SIGNALS) {
    process.on(name, () => {
      stages[Math.min(received, 2)]?.abort(new Error(`received signal ${name}`));
      received++;
    });
  }
  return { stop: stop.signal, hurry: hurry.signal, force: force.signal };
}

void main(); // runCli never rejects
