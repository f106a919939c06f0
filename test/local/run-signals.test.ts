import { expect, test } from "vitest";
import { type RunSignals, sortSignals } from "../../src/local/run-signals.ts";

interface Rig {
  readonly signals: RunSignals;
  readonly passed: readonly string[];
  arrive(...names: NodeJS.Signals[]): void;
  stages(): readonly boolean[];
}

/** An application in a terminal has typed signals; one without has none. */
function rig(isInTerminal: boolean): Rig {
  const passed: string[] = [];
  let listener: (name: NodeJS.Signals) => void = () => undefined;
  const never = new AbortController().signal;
  const signals = sortSignals({
    signals: { stop: never, hurry: never, force: never },
    onSignal(given) {
      listener = given;
    },
  });
  signals.attach({
    isInTerminal,
    isTyped: (name) => isInTerminal && ["SIGINT", "SIGQUIT", "SIGWINCH"].includes(name),
    pass: (name) => void passed.push(name),
  });
  return {
    signals,
    passed,
    arrive: (...names) => {
      for (const name of names) listener(name);
    },
    stages: () => [signals.stop.aborted, signals.hurry.aborted, signals.force.aborted],
  };
}

test("three signals stop, hurry and force", () => {
  const { signals, arrive, stages } = rig(false);
  arrive("SIGTERM");
  expect(stages()).toEqual([true, false, false]);
  arrive("SIGINT");
  expect(stages()).toEqual([true, true, false]);
  arrive("SIGQUIT", "SIGTERM");
  expect(stages()).toEqual([true, true, true]);
  expect(signals.received).toEqual(["SIGTERM", "SIGINT", "SIGQUIT", "SIGTERM"]);
});

test("without a terminal SIGHUP is the application's, with one it is the end of the terminal", () => {
  const server = rig(false);
  server.arrive("SIGHUP");
  expect(server.stages()).toEqual([false, false, false]);
  expect(server.passed).toEqual(["SIGHUP"]);
  const shell = rig(true);
  shell.arrive("SIGHUP");
  expect(shell.stages()).toEqual([true, false, false]);
});

test("typed signals never stop a run, until its end has begun", () => {
  const { signals, arrive, stages } = rig(true);
  arrive("SIGINT", "SIGINT", "SIGQUIT", "SIGINT");
  expect(stages()).toEqual([false, false, false]);
  signals.beginEnd("the application exited");
  arrive("SIGINT");
  expect(stages()).toEqual([true, true, false]);
});

test("where there is no process, the host's stages count as SIGTERM", () => {
  const stop = new AbortController();
  const never = new AbortController().signal;
  const signals = sortSignals({ signals: { stop: stop.signal, hurry: never, force: never } });
  expect(signals.stop.aborted).toBe(false);
  stop.abort();
  expect(signals.stop.aborted).toBe(true);
  expect(signals.received).toEqual(["SIGTERM"]);
});
