import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import { type Cluster, enterCluster } from "./enter-cluster.ts";
import { FAILED, STATE, WANTED } from "./offer-cluster.ts";
import type { ClusterAddresses } from "./run-cluster.ts";

export type { Cluster } from "./enter-cluster.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the cluster that this run offers; empty without binaries. */
    readonly clusterFolder: string;
  }
}

/** Whether there are binaries: with `describe.runIf`. The reporter says so when there are none. */
export function hasCluster(): boolean {
  return inject("clusterFolder") !== "";
}

/** The first call of a run starts the cluster, in some 12 s of an idle machine; later ones take well under a second. */
export async function startCluster(): Promise<Cluster> {
  return enterCluster(await sharedCluster(inject("clusterFolder")));
}

const LIMIT_MS = 300_000;
const POLL_MS = 50;

async function sharedCluster(folder: string): Promise<ClusterAddresses> {
  const file = (name: string): string => join(folder, name);
  if (!existsSync(file(WANTED))) writeFileSync(file(WANTED), "");
  const endMs = performance.now() + LIMIT_MS;
  while (performance.now() < endMs) {
    if (existsSync(file(FAILED)))
      throw new Error(`The test cluster did not start: ${readFileSync(file(FAILED), "utf8")}`);
    const text = existsSync(file(STATE)) ? readFileSync(file(STATE), "utf8") : "";
    if (text.endsWith("}")) return JSON.parse(text) as ClusterAddresses;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new Error(`The test cluster is not up after ${LIMIT_MS / 1_000} s`);
}
