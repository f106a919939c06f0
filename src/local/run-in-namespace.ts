import { applicationExitCode, findExecutable } from "../application/index.ts";
import { aborted, silentLogger } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { stopApplication } from "./end-application.ts";
import { signalCode, sortSignals } from "./run-signals.ts";

export interface InNamespaceOptions {
  readonly command: readonly [file: string, ...args: string[]];
  /** Absolute: whose namespace. Default: the only one of this machine. */
  readonly runFolder: string | undefined;
  readonly readyTimeoutMs: number;
  /** The mesh, of this process, is gone while the application runs: what that sends reaches nobody any more. */
  readonly onGone: (pid: number) => void;
}

/**
 * What `pilotboat run --transparent` does without a mesh of its own: the application, in the network namespace of a mesh that
 * runs already. Resolves with its exit code. Rejects as `joinNamespace` and `startApplication` do.
 */
export async function runInNamespace(options: InNamespaceOptions, host: Host): Promise<number> {
  const [named, ...args] = options.command;
  const { checkUser, joinNamespace, startInside } = await import("./namespace/index.ts");
  checkUser();
  const signals = sortSignals(host);
  const file = await findExecutable(named, { path: host.env.PATH, cwd: host.cwd });
  const joined = await joinNamespace(host, { ...options, stop: signals.stop }).catch((error: unknown) => {
    if (signals.stop.aborted) return undefined;
    throw error;
  });
  if (joined === undefined) return signalCode(signals);
  const application = await startInside({ file, args }, joined, host);
  signals.attach(application);
  const over = new AbortController();
  void joined.isGone(over.signal).then((isGone) => isGone && options.onGone(joined.pid));
  const isAsked = await Promise.race([application.ended.then(() => false), aborted(signals.stop).then(() => true)]);
  if (isAsked) await stopApplication({ application, signals, log: silentLogger });
  const end = await application.ended;
  over.abort();
  return applicationExitCode(end);
}
