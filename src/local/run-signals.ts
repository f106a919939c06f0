import type { RunningApplication } from "../application/index.ts";
import type { Host, StopSignals } from "../host/index.ts";

/** The stop signals of a run: not every signal that arrives asks the run to stop. */
export interface RunSignals extends StopSignals {
  /** Those that asked for it, in their order. */
  readonly received: readonly NodeJS.Signals[];
  /** From now on signals that do not ask for a stop are passed on. */
  attach(application: SignalledApplication): void;
  /** The end has begun without a signal: the first one now hurries. */
  beginEnd(reason: string): void;
}

export type SignalledApplication = Pick<RunningApplication, "isInTerminal" | "isTyped" | "pass">;

const STOPPING: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"];

/**
 * Sorts signals. Ctrl-C and Ctrl-\ reach an application in a terminal by themselves and are its own matter: a shell or
 * a debugger under `run` does not end by them. Without a terminal SIGHUP asks a server to read its files again.
 */
export function sortSignals(host: Pick<Host, "signals" | "onSignal">): RunSignals {
  const stages = [new AbortController(), new AbortController(), new AbortController()] as const;
  const [stop, hurry, force] = stages;
  const received: NodeJS.Signals[] = [];
  let application: SignalledApplication | undefined;

  const isApplicationsOwn = (name: NodeJS.Signals): boolean => {
    if (!STOPPING.includes(name)) return true;
    if (application === undefined || stop.signal.aborted) return false;
    return application.isTyped(name) || (name === "SIGHUP" && !application.isInTerminal);
  };
  listen(host, (name) => {
    if (isApplicationsOwn(name)) {
      application?.pass(name);
      return;
    }
    received.push(name);
    stages.find(({ signal }) => !signal.aborted)?.abort(new Error(`received signal ${name}`));
  });
  return {
    stop: stop.signal,
    hurry: hurry.signal,
    force: force.signal,
    received,
    attach(running) {
      application = running;
    },
    beginEnd(reason) {
      if (!stop.signal.aborted) stop.abort(new Error(reason));
    },
  };
}

/** A library has no process of its own: there every stage is the polite signal. */
function listen({ signals, onSignal }: Pick<Host, "signals" | "onSignal">, listener: (name: NodeJS.Signals) => void) {
  if (onSignal !== undefined) {
    onSignal(listener);
    return;
  }
  for (const stage of [signals.stop, signals.hurry, signals.force]) {
    if (stage.aborted) listener("SIGTERM");
    else stage.addEventListener("abort", () => listener("SIGTERM"), { once: true });
  }
}
