import { resolve } from "node:path";
import { applicationExitCode, describeApplicationEnd, startApplication } from "../application/index.ts";
import { AgentError } from "../base/index.ts";
import { askedEnvoy, findOrFetchEnvoy } from "../envoy/binary/index.ts";
import { findSetpriv, type Host, onEverySignal } from "../host/index.ts";
import { checkNamedFile } from "./named-path.ts";
import { createProgressLine } from "./progress-line.ts";

interface RunFlags {
  readonly config: string | undefined;
  readonly envoy: string | undefined;
  readonly version: string | undefined;
}

/** Plain Envoy, found or fetched as for the other commands, and nothing of an agent around it. Resolves with the exit code. */
export async function runEnvoy(flags: RunFlags, words: readonly string[], host: Host): Promise<number> {
  const args = [...(flags.config === undefined ? [] : ["-c", flags.config]), ...withoutDashes(words)];
  if (args.length === 0) {
    throw new AgentError("USAGE", "Cannot run Envoy without a configuration", { hint: "Give one with -c FILE" });
  }
  if (flags.config !== undefined) await checkNamedFile(resolve(host.cwd, flags.config), "-c");
  const { path } = await findBinary(flags, host);
  const early: NodeJS.Signals[] = [];
  let pass = (signal: NodeJS.Signals): void => void early.push(signal);
  onEverySignal(host, (signal) => pass(signal));
  const envoy = await startApplication({
    ...{ file: path, args, cwd: host.cwd, env: host.env },
    setpriv: await findSetpriv(host.env.PATH),
  });
  pass = (signal) => envoy.pass(signal);
  for (const signal of early) envoy.pass(signal);
  const end = await envoy.ended;
  if (end.kind === "signal") host.stderr.write(`Envoy was stopped by ${describeApplicationEnd(end)}\n`);
  return applicationExitCode(end);
}

/** The first `--` stands between our words and Envoy's. */
function withoutDashes(words: readonly string[]): readonly string[] {
  const at = words.indexOf("--");
  return at < 0 ? words : [...words.slice(0, at), ...words.slice(at + 1)];
}

async function findBinary(flags: RunFlags, host: Host) {
  const { env, cwd, signals } = host;
  const { imageTaker } = await import("../agent/start-envoy/index.ts");
  const progress = createProgressLine(host);
  const onNote = (line: string): void => {
    progress.clear();
    host.stderr.write(`${line}\n`);
  };
  try {
    const wanted = { ...askedEnvoy(flags, env), env, cwd, hub: env.PILOTBOAT_ENVOY_HUB, takeFromImage: imageTaker() };
    return await findOrFetchEnvoy({ ...wanted, onNote, onProgress: progress.show }, signals.stop);
  } catch (error) {
    if (!signals.stop.aborted) throw error;
    throw new AgentError("STOPPED", "Stopped fetching Envoy; nothing was left behind", { cause: error });
  } finally {
    progress.clear();
  }
}
