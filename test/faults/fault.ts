import { expect, test } from "vitest";
import { FAULTS, type FaultName } from "./table.ts";

/** What a test saw of its fault: how the agent ended, and one line for docs/reliability.md. */
export interface Seen {
  readonly exit: number | NodeJS.Signals | "none" | null;
  readonly seen: string;
}

/** One row of the fault table as a test. Beside what the body asserts, the agent must have ended as the table says. */
export function fault(name: FaultName, body: () => Promise<Seen>): void {
  test(name, async ({ task }) => {
    const { exit, seen } = await body();
    const row = FAULTS[name];
    expect(exit).toBe(row.exit);
    Object.assign(task.meta, { fault: { ...row, seen } }); // scripts/reliability.mjs reads it from the report
  });
}

/** Milliseconds that something took, with its result. */
export async function timed<T>(work: Promise<T>): Promise<{ readonly ms: number; readonly result: T }> {
  const startedMs = performance.now();
  const result = await work;
  return { ms: Math.round(performance.now() - startedMs), result };
}
