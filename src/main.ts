#!/usr/bin/env node
import { describeError, isBun } from "./base/index.ts";
import { printError, runCli } from "./cli/index.ts";
import {
  calledName,
  createStopStages,
  finishOutput,
  type Host,
  isForRuntime,
  keepCompiledCode,
  restoreJitPolicySoon,
  STOP_SIGNALS,
  type StopSignals,
  steadyOutput,
  workingDirectory,
} from "./host/index.ts";

/** The only file that touches `process`: arguments, environment, streams and signals in, exit code out. */
async function main(): Promise<void> {
  const stdout = steadyOutput(process.stdout);
  const stderr = steadyOutput(process.stderr);
  const { signals, fail } = listenForSignals();
  const name = calledName(process);
  const program = name === undefined ? {} : { program: name };
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.on(event, (error: unknown) => {
      printError({ stderr, env: process.env, ...program }, error);
      process.exitCode = 1; // for a command that nothing keeps alive now
      fail(error);
    });
  }
  restoreJitPolicySoon();
  const env = await takeEnvironment();
  if (!isBun) await keepCompiledCode(env); // before the command's own files are loaded
  const exitCode = await runCli(process.argv.slice(2), {
    env,
    cwd: workingDirectory(process.cwd),
    stdout,
    stderr,
    ...program,
    openStdin: () => process.stdin,
    signals,
    onSignal: listenForAll,
  });
  await Promise.all([finishOutput(stdout), finishOutput(stderr)]);
  process.exit(exitCode === 0 ? (process.exitCode ?? 0) : exitCode);
}

/**
 * The environment, for settings and for the programs we start. What is meant for a runtime leaves our own process: it
 * is the application's. Node has obeyed `NODE_OPTIONS` by now; its inspector would hold the application's port.
 */
async function takeEnvironment(): Promise<Host["env"]> {
  const env = { ...process.env };
  for (const name of Object.keys(env).filter(isForRuntime)) delete process.env[name];
  const isInspected =
    env.NODE_OPTIONS?.includes("--inspect") && !process.execArgv.some((word) => word.startsWith("--inspect"));
  if (isInspected) (await import("node:inspector")).close();
  if (env.NODE_V8_COVERAGE && !isBun) (await import("node:v8")).stopCoverage();
  return env;
}

const ALL_SIGNALS: readonly NodeJS.Signals[] = [...STOP_SIGNALS, "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"];

const listeners = new Set<(signal: NodeJS.Signals) => void>();

function listenForAll(
  listener: (signal: NodeJS.Signals) => void,
  names: readonly NodeJS.Signals[] = ALL_SIGNALS,
): void {
  if (names.includes("SIGTERM")) listeners.add(listener);
  for (const name of names) process.on(name, () => listener(name));
}

interface Listening {
  readonly signals: StopSignals;
  /** Logs an uncaught error, and stops the run in order, once. */
  fail(error: unknown): void;
}

function listenForSignals(): Listening {
  const stages = createStopStages((name) => STOP_SIGNALS.includes(name));
  const failed = new AbortController();
  process.on("SIGUSR1", () => undefined); // by default Node opens its inspector, for whoever can send it
  for (const name of STOP_SIGNALS) process.on(name, () => stages.receive(name));
  return {
    signals: { ...stages, failed: failed.signal },
    fail(error) {
      failed.abort(error);
      if (stages.stop.aborted) return;
      stages.beginEnd(`internal failure: ${describeError(error)}`);
      for (const listener of listeners) listener("SIGTERM"); // `run` sorts the signals itself, and has stages of its own
    },
  };
}

void main(); // runCli never rejects
