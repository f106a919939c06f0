import { expect, test } from "vitest";
import { decideRestart, RESTART_BUDGET, type RunRecord } from "../../../src/envoy/supervisor/restart-policy.ts";

const run = (changed: Partial<RunRecord> = {}): RunRecord => ({
  pid: 1,
  end: { kind: "signal", signal: "SIGSEGV" },
  wasLive: true,
  startedMs: 0,
  endedMs: 1_000,
  ...changed,
});
const middle = (): number => 0.5;

test("never is never", () => {
  expect(decideRestart("never", [run()], middle)).toMatchObject({ kind: "give-up" });
});

test("on-failure lets a good end be, always does not", () => {
  const good = run({ end: { kind: "code", code: 0 } });
  expect(decideRestart("on-failure", [good], middle)).toMatchObject({ kind: "give-up" });
  expect(decideRestart("always", [good], middle)).toMatchObject({ kind: "restart" });
});

test("an Envoy that refuses its first configuration is not tried again", () => {
  const refused = run({ end: { kind: "code", code: 1 }, wasLive: false });
  expect(decideRestart("always", [refused], middle)).toMatchObject({
    kind: "give-up",
    reason: "Envoy cannot start (exit status 1)",
  });
});

test("one that was killed before it was live is", () => {
  expect(decideRestart("on-failure", [run({ wasLive: false })], middle)).toMatchObject({ kind: "restart" });
});

test("the first crash costs no wait, from then on waits grow", () => {
  const history: RunRecord[] = [];
  const waits: number[] = [];
  for (let crash = 1; crash <= 4; crash++) {
    history.push(run({ startedMs: crash * 2_000, endedMs: crash * 2_000 + 10 }));
    const decision = decideRestart("on-failure", history, middle);
    if (decision.kind === "restart") waits.push(decision.waitMs);
  }
  expect(waits).toEqual([0, 100, 200, 400]);
});

test("the budget of a window is spent at some time, and a stable run clears the account", () => {
  const crashes = Array.from({ length: RESTART_BUDGET.restarts + 1 }, (_, at) =>
    run({ startedMs: at, endedMs: at + 1 }),
  );
  expect(decideRestart("on-failure", crashes, middle)).toMatchObject({ kind: "give-up" });
  const stable = run({ startedMs: 100, endedMs: 100 + RESTART_BUDGET.stableMs });
  expect(decideRestart("on-failure", [...crashes, stable], middle)).toMatchObject({ kind: "restart", attempt: 1 });
});

test("one that never came up is waited for from the first time on", () => {
  expect(decideRestart("on-failure", [run({ wasLive: false })], middle)).toMatchObject({ waitMs: 100 });
});

test("crashes long ago do not count", () => {
  const crashes = Array.from({ length: RESTART_BUDGET.restarts + 1 }, () => run());
  const late = run({ startedMs: RESTART_BUDGET.windowMs + 5_000, endedMs: RESTART_BUDGET.windowMs + 6_000 });
  expect(decideRestart("on-failure", [...crashes, late], middle)).toMatchObject({ kind: "restart", attempt: 1 });
});
