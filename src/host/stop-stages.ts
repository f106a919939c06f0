import type { Host, StopSignals } from "./host.ts";

/** Which signals ask for a stop. */
export type StopPolicy = (name: NodeJS.Signals) => boolean;

/** `proxy` and every command without an application: Ctrl-C, a closed terminal, and what a kubelet sends. */
export const STOP_SIGNALS: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGHUP"];

/** The stages of a stop, and what moves them on. */
export interface StopStages extends StopSignals {
  /** The signals that asked for a stop, in their order. */
  readonly received: readonly NodeJS.Signals[];
  /** Enters the next stage if the policy counts this signal; gives whether it does. */
  receive(name: NodeJS.Signals): boolean;
  /** Enters the first stage without a signal: the first signal now hurries. */
  beginEnd(reason: string): void;
}

/** The first signal that `asksToStop` asks politely, the second hurries, the third forces. */
export function createStopStages(asksToStop: StopPolicy): StopStages {
  const stages = [new AbortController(), new AbortController(), new AbortController()] as const;
  const [stop, hurry, force] = stages;
  const received: NodeJS.Signals[] = [];
  return {
    stop: stop.signal,
    hurry: hurry.signal,
    force: force.signal,
    received,
    receive(name) {
      if (!asksToStop(name)) return false;
      received.push(name);
      stages.find(({ signal }) => !signal.aborted)?.abort(new Error(`received signal ${name}`));
      return true;
    },
    beginEnd(reason) {
      if (!stop.signal.aborted) stop.abort(new Error(reason));
    },
  };
}

/** Gives `listener` every signal of the process. A library has no process of its own: there each stage counts as SIGTERM. */
export function onEverySignal(
  { signals, onSignal }: Pick<Host, "signals" | "onSignal">,
  listener: (name: NodeJS.Signals) => void,
): void {
  if (onSignal !== undefined) {
    onSignal(listener);
    return;
  }
  for (const stage of [signals.stop, signals.hurry, signals.force]) {
    if (stage.aborted) listener("SIGTERM");
    else stage.addEventListener("abort", () => listener("SIGTERM"), { once: true });
  }
}
