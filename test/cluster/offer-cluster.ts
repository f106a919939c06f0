import { existsSync, rmSync, watch, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError } from "../../src/base/index.ts";
import { buildCluster, cachedCluster } from "./binaries.ts";
import { type RunningCluster, runCluster } from "./run-cluster.ts";

/** By which the processes of the tests and the one that starts the cluster talk. */
export const WANTED = "wanted";
export const STATE = "state.json";
export const FAILED = "failed";

export interface OfferedCluster extends AsyncDisposable {
  /** Undefined when there are no binaries. */
  readonly folder: string | undefined;
}

/**
 * Offers one cluster to all tests of a run: it is started when the first of them wants it, and ended with the run. With
 * PILOTBOAT_CLUSTER=build missing binaries are built first.
 */
export async function offerCluster(): Promise<OfferedCluster> {
  const isWanted = process.env.PILOTBOAT_CLUSTER === "build";
  const bin = isWanted ? await buildCluster((line) => console.log(line)) : cachedCluster();
  if (bin === undefined) return { folder: undefined, async [Symbol.asyncDispose]() {} };
  const folder = await mkdtemp(join(tmpdir(), "pb-cluster-"));
  let starting: Promise<RunningCluster | undefined> | undefined;
  const look = (): void => {
    if (starting === undefined && existsSync(join(folder, WANTED))) starting = start(bin, folder);
  };
  const watcher = watch(folder, look);
  return {
    folder,
    async [Symbol.asyncDispose]() {
      watcher.close();
      await (await starting)?.[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Tells by a file how it came out. Never rejects. */
async function start(bin: string, folder: string): Promise<RunningCluster | undefined> {
  const startedMs = performance.now();
  try {
    const cluster = await runCluster(bin, folder);
    writeFileSync(join(folder, STATE), JSON.stringify(cluster.addresses), { mode: 0o600 });
    console.log(`The test cluster is up after ${Math.round(performance.now() - startedMs)} ms`);
    return cluster;
  } catch (error) {
    writeFileSync(join(folder, FAILED), describeError(error));
    return undefined;
  }
}
