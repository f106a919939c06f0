import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { TestProject } from "vitest/node";
import { offerCluster } from "../cluster/offer-cluster.ts";
import { RUN_MARK, type Stranded, strandedProcesses } from "./processes.ts";

/** The tests run the built program: without it every end-to-end test would fail with a confusing message. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (!existsSync("dist/main.js")) throw new Error('dist/main.js is missing: run "npm run build" first');
  const run: string = randomUUID();
  process.env[RUN_MARK] = run;
  const before = new Set(strandedProcesses(tmpdir()).map(({ pid }) => pid));
  const cluster = await offerCluster();
  project.provide("clusterFolder", cluster.folder ?? "");
  return async () => {
    await cluster[Symbol.asyncDispose]();
    const left = (): Stranded[] =>
      strandedProcesses(tmpdir()).filter((one) => !before.has(one.pid) && [run, undefined].includes(one.run));
    const until = Date.now() + DYING_MS; // what a test has killed last needs a moment to be gone
    while (left().length > 0 && Date.now() < until) await delay(50);
    tellStranded(left(), run);
  };
}

const DYING_MS = 10_000;

/** Several runs may share a machine: what has another run's mark is its matter, and without one it is only told. */
function tellStranded(left: readonly Stranded[], run: string): void {
  const ours = left.filter((one) => one.run === run);
  const unmarked = left.filter((one) => one.run === undefined);
  const list = (some: readonly Stranded[]): string => some.map(({ pid }) => pid).join(", ");
  if (unmarked.length > 0) console.error(`In folders of tests, of this run or of another one: ${list(unmarked)}`);
  if (ours.length > 0) console.error(`This run left processes behind in folders of tests: ${list(ours)}`);
  const isAlone = process.env.CI !== undefined;
  if (ours.length > 0 || (isAlone && unmarked.length > 0)) process.exitCode = 1; // an error thrown here would only be printed
}
