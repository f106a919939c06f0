import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lifetime } from "../../src/base/index.ts";
import { cachedCluster } from "./binaries.ts";
import { type Cluster, enterCluster } from "./enter-cluster.ts";
import { runCluster } from "./run-cluster.ts";
import type { Istiod, IstiodOptions } from "./run-istiod.ts";

/** A cluster that no other test file uses, so that its istiod may be taken away. Disposing ends it. */
export interface OwnCluster extends AsyncDisposable {
  readonly istiod: Istiod;
  /** A namespace of its own, as `startCluster()` gives one. */
  enter(): Promise<Cluster>;
}

export async function startOwnCluster(options: IstiodOptions = {}): Promise<OwnCluster> {
  const bin = cachedCluster();
  if (bin === undefined) throw new Error("The test cluster is not built: npm run test:cluster builds it");
  const life = new Lifetime();
  try {
    const folder = await mkdtemp(join(tmpdir(), "pb-own-cluster-"));
    life.defer("folder", () => rm(folder, { recursive: true, force: true }));
    const { addresses, istiod } = await life.own("cluster", runCluster(bin, folder, options));
    return { istiod, enter: () => enterCluster(addresses), [Symbol.asyncDispose]: () => life[Symbol.asyncDispose]() };
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
}
