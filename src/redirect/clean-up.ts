import type { Logger } from "../base/index.ts";
import { applyIptables, cleanUpIptables } from "./apply-iptables.ts";
import { listNft, runNft } from "./apply-nft.ts";
import type { Capture, Family, RedirectSettings } from "./capture.ts";
import { findOthers } from "./find-xtables.ts";
import { listedMarks, savedMarks } from "./leftovers.ts";
import { nftCleanup } from "./nft-texts.ts";
import type { Programs } from "./programs.ts";
import { type RouteStep, removeAllRoutes, removeRoutes } from "./routes.ts";
import { realXtables, type Variants, type Xtables } from "./xtables.ts";

export interface CleanUp {
  readonly settings: RedirectSettings;
  readonly capture: Capture;
  readonly programs: Programs;
  readonly log: Logger;
}

/** Of `--istio-inbound-tproxy-mark`: the mark of most runs of TPROXY. */
const USUAL_MARK = 1337;

/**
 * Removes what these settings make, and whatever else runs of ours or of the reference have left: with other settings, by
 * another variant of iptables or by nft, for either family. `variants` are those of iptables that the settings choose; none
 * where they choose nft. Rejects with REDIRECT_FAILED, STOPPED or TIMEOUT.
 */
export async function cleanUp(work: CleanUp, variants: Variants | undefined, steps: readonly RouteStep[]) {
  const { settings, capture, programs, log } = work;
  const chosen = variants && realXtables(variants, programs, log);
  const others = await otherXtables(work, variants ?? {}, ["IPv4", "IPv6"]);
  const listed = await listNft(programs);
  const found = await marksIn(chosen === undefined ? others : [chosen, ...others], listed ?? "");
  await removeRoutes(steps, programs); // before the rules, which tell the next run the marks where this one is stopped
  await removeAllRoutes(new Set([...found, Number(capture.tproxyMark), USUAL_MARK]), programs, log);
  for (const other of others) await cleanUpIptables(capture, other, log);
  if (chosen !== undefined) await applyIptables(capture, settings, chosen, log);
  if (settings.nativeNftables || listed !== undefined) await runNft(nftCleanup(), programs.cleaning());
}

/** Rules of ours in variants of iptables that are not the chosen ones: they would work beside those of this run. */
export async function otherXtables(
  { programs, log }: CleanUp,
  chosen: Variants,
  families: readonly Family[],
): Promise<Xtables[]> {
  const all: Xtables[] = [];
  for (const family of families) {
    for (const other of await findOthers(family, chosen[family], programs, log)) {
      log.info(`Rules of an earlier run are in ${other.name}, too`);
      all.push(realXtables({ [family]: other }, programs, log));
    }
  }
  return all;
}

async function marksIn(all: readonly Xtables[], listed: string): Promise<number[]> {
  const marks = listedMarks(listed);
  for (const xtables of all) {
    for (const family of xtables.families) marks.push(...savedMarks((await xtables.save(family)) ?? ""));
  }
  return marks;
}
