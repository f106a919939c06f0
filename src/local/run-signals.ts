import { constants } from "node:os";
import type { RunningApplication } from "../application/index.ts";
import { createStopStages, type Host, onEverySignal, STOP_SIGNALS, type StopStages } from "../host/index.ts";

/** The stop signals of a run: not every signal that arrives asks the run to stop. */
export interface RunSignals extends StopStages {
  /** From now on the application gets the signals that do not ask for a stop. */
  attach(application: SignalledApplication): void;
}

export type SignalledApplication = Pick<RunningApplication, "isInTerminal" | "isTyped" | "pass">;

/**
 * Sorts signals. Ctrl-C and Ctrl-\ reach an application in a terminal by themselves and are its own matter: a shell or
 * a debugger under `run` does not end by them. Without a terminal SIGHUP asks a server to read its files again.
 */
export function sortSignals(host: Pick<Host, "signals" | "onSignal">): RunSignals {
  let application: SignalledApplication | undefined;
  const isApplicationsOwn = (name: NodeJS.Signals): boolean => {
    if (application === undefined || stages.stop.aborted) return false;
    return application.isTyped(name) || (name === "SIGHUP" && !application.isInTerminal);
  };
  const stages = createStopStages((name) => STOPPING.includes(name) && !isApplicationsOwn(name));
  onEverySignal(host, (name) => {
    if (!stages.receive(name)) application?.pass(name);
  });
  return {
    ...stages,
    attach(running) {
      application = running;
    },
  };
}

/** The exit code of a run whose application a signal has prevented: 128 + the signal. */
export function signalCode({ received }: Pick<RunSignals, "received">): number {
  return 128 + constants.signals[received[0] ?? "SIGTERM"];
}

const STOPPING: readonly NodeJS.Signals[] = [...STOP_SIGNALS, "SIGQUIT"];
