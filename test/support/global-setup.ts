import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { TestProject } from "vitest/node";
import { offerCluster } from "../cluster/offer-cluster.ts";
import { strandedProcesses } from "./processes.ts";

/** The tests run the built program: without it every end-to-end test would fail with a confusing message. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (!existsSync("dist/main.js")) throw new Error('dist/main.js is missing: run "npm run build" first');
  const before = new Set(strandedProcesses(tmpdir()));
  const cluster = await offerCluster();
  project.provide("clusterFolder", cluster.folder ?? "");
  return async () => {
    await cluster[Symbol.asyncDispose]();
    const stranded = (): number[] => strandedProcesses(tmpdir()).filter((pid) => !before.has(pid));
    const until = Date.now() + DYING_MS; // what a test has killed last needs a moment to be gone
    while (stranded().length > 0 && Date.now() < until) await delay(50);
    tellStranded(stranded());
  };
}

const DYING_MS = 10_000;

/** Where several runs share a machine, those of another run would be seen, too: only there it is no failure. */
function tellStranded(pids: readonly number[]): void {
  if (pids.length === 0) return;
  console.error(`These processes were left behind in folders of tests: ${pids.join(", ")}`);
  if (process.env.CI !== undefined) process.exitCode = 1; // an error thrown here would only be printed
}
