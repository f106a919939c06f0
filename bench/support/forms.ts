import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { CLUSTER_FILES, cachedCluster } from "../../test/cluster/binaries.ts";
import { newestLts } from "../../test/support/newest-lts.ts";
import { type Runtime, runtimes } from "../../test/support/pilotboat.ts";

/** A program that is measured: a form of the product, or Istio's pilot-agent, its peer. */
export interface Form extends Runtime {
  /** The bootstrap that the peer fills in; the product has its own. */
  readonly template?: string;
}

/** The product on this Node, on the newest LTS and as the executable, or the one of `PILOTBOAT_COMMAND`; then the peer. */
export function forms(): Form[] {
  if (process.env.PILOTBOAT_COMMAND !== undefined) {
    return [...peer(), ...runtimes().map(({ name, command }) => ({ name: basename(name), command }))];
  }
  const node = { name: `Node ${process.versions.node}`, command: [process.execPath, resolve("dist/main.js")] };
  const lts = newestLts();
  const executable = { name: "executable", command: [resolve("dist/pilotboat")] };
  return [...peer(), node, ...(lts === undefined ? [] : [lts]), ...(existsSync("dist/pilotboat") ? [executable] : [])];
}

/** The one that `BENCH_PILOT_AGENT` names, with the bootstrap of `BENCH_BOOTSTRAP_TEMPLATE` or of the test cluster. */
function peer(): Form[] {
  const program = process.env.BENCH_PILOT_AGENT;
  if (program === undefined) return [];
  const cached = cachedCluster();
  const ours = cached === undefined ? undefined : join(cached, CLUSTER_FILES.bootstrapTemplate);
  const template = process.env.BENCH_BOOTSTRAP_TEMPLATE ?? ours;
  if (template === undefined) throw new Error("BENCH_BOOTSTRAP_TEMPLATE must name pilot-agent's envoy_bootstrap.json");
  return [{ name: "pilot-agent", command: [program], template }];
}
