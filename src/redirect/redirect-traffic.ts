import { describeError, type Logger } from "../base/index.ts";
import { applyIptables, cleanUpIptables, type Undo } from "./apply-iptables.ts";
import { checkNft, runNft } from "./apply-nft.ts";
import { askMachine, MACHINE_FILES, type MachineFiles, servicesOf, uidOf } from "./ask-machine.ts";
import type { Capture, Family, Machine, RedirectSettings } from "./capture.ts";
import { cleanUp, otherXtables } from "./clean-up.ts";
import { findXtables } from "./find-xtables.ts";
import { describeEnvironment, describeSettings } from "./narrate.ts";
import { nftRules } from "./nft-rules.ts";
import { nftCleanup, nftTransaction } from "./nft-texts.ts";
import { checkRights, type Programs, programsOf } from "./programs.ts";
import { lacksDnsServers, readCapture } from "./read-capture.ts";
import { addRoutes, checkIp, type RouteStep, removeRoutes, routeSteps } from "./routes.ts";
import { checkRedirection } from "./self-check.ts";
import { dryXtables, realXtables, type Variants, writeDryRun, type XtablesVariant } from "./xtables.ts";

export interface RedirectOptions {
  readonly settings: RedirectSettings;
  /** Where a setting comes from, for messages: a flag or a variable. */
  readonly origin: (setting: keyof RedirectSettings) => string;
  /** For the programs, and for `ENVOY_USER` and `DRY_RUN_FILE_PATH`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly stop: AbortSignal;
  /** Default: those of the system. */
  readonly files?: MachineFiles;
}

/**
 * Makes, shows or removes the rules by which a pod's traffic goes through Envoy, and checks them. Rejects with
 * CONFIG_INVALID, REDIRECT_NOT_POSSIBLE, PROGRAM_NOT_FOUND, REDIRECT_FAILED or REDIRECT_NOT_SEEN; where there were no rules
 * before, a failure leaves none. Source: istio/istio tools/istio-iptables/pkg/cmd.
 */
export async function redirectTraffic(options: RedirectOptions): Promise<void> {
  const { log, stop, files = MACHINE_FILES } = options;
  const settings = await withUsers(options, files);
  const programs = programsOf({ env: options.env, stop, ...settings });
  const machine = await askMachine(settings, files.resolvConf, programs.readNet);
  const capture = readCapture(settings, machine, { origin: options.origin, services: await servicesOf(files) });
  const work: Work = { ...options, settings, machine, capture, programs };
  if (settings.nativeNftables) log.info("native nftables enabled, using nft rules for traffic redirection.");
  else if (settings.dryRun) log.info("running iptables in dry-run mode, no rule changes will be made");
  if (!settings.skipRuleApply) await (settings.dryRun ? showRules(work) : changeRules(work));
  if (!settings.runValidation) return;
  const { iptablesProbePort: probePort, probeTimeoutMs: timeoutMs } = settings;
  const ports = [capture.ports.outbound, capture.ports.inbound];
  const check = { ports, probePort, family: machine.hostFamily, timeoutMs, proxyUids: capture.uids };
  await checkRedirection(check, log, stop);
}

/** The users and groups that are never redirected, where none are named. */
async function withUsers({ settings, env }: RedirectOptions, files: MachineFiles): Promise<RedirectSettings> {
  const proxyUid = settings.proxyUid || (await uidOf(env.ENVOY_USER ?? "istio-proxy", files));
  return { ...settings, proxyUid, proxyGid: settings.proxyGid || proxyUid };
}

interface Work extends RedirectOptions {
  readonly machine: Machine;
  readonly capture: Capture;
  readonly programs: Programs;
}

async function showRules(work: Work): Promise<void> {
  const { settings, capture, log, env } = work;
  if (settings.nativeNftables) {
    describe(work);
    log.info("skipping configuring routes due to dry run mode");
    log.info(`nftables rules programmed:\n${transactionOf(work)} \n`);
    return;
  }
  const xtables = dryXtables();
  describe(work);
  await applyIptables(capture, settings, xtables, log);
  if (env.DRY_RUN_FILE_PATH) await writeDryRun(env.DRY_RUN_FILE_PATH, xtables.lines);
  log.info("skipping configuring routes due to dry run mode");
}

async function changeRules(work: Work): Promise<void> {
  const { settings, capture, programs, log } = work;
  await checkRights();
  const steps = routeSteps(capture, settings.inboundTproxyRouteTable);
  await checkIp(steps, programs);
  if (settings.nativeNftables) await checkNft(programs, settings.cniMode);
  const variants = settings.nativeNftables ? undefined : await findVariants(work);
  describe(work);
  if (settings.cleanupOnly) return await removeRules(work, variants, steps);
  if (variants === undefined) return await changeNft(work, steps);
  const undo = await applyXtables(work, variants);
  await addRoutes(steps, programs, log).catch(async (error: unknown) => undo().then(() => Promise.reject(error)));
}

async function removeRules(work: Work, variants: Variants | undefined, steps: readonly RouteStep[]): Promise<void> {
  await cleanUp(work, variants, steps);
  if (variants === undefined) work.log.info(`nftables rules programmed:\n${transactionOf(work)} \n`);
}

/** The rules come last: where a route cannot be added, those of an earlier run are still there. */
async function changeNft(work: Work, steps: readonly RouteStep[]): Promise<void> {
  const { programs, log } = work;
  const added = await addRoutes(steps, programs, log);
  try {
    await runNft(transactionOf(work), programs.cleaning()); // whole in a moment; cut, nobody knew which rules are there
  } catch (error) {
    await removeRoutes(added, programs.cleaning()).catch((left: unknown) =>
      log.error(`Cannot remove all routes of this run, --cleanup-only does: ${describeError(left)}`),
    );
    throw error;
  }
  log.info(`nftables rules programmed:\n${transactionOf(work)} \n`);
}

function transactionOf({ settings, capture }: Work): string {
  return settings.cleanupOnly ? nftCleanup() : nftTransaction(nftRules(capture));
}

async function applyXtables(work: Work, variants: Variants): Promise<Undo> {
  const { settings, capture, programs, log } = work;
  if (settings.reconcile && settings.forceIptablesBinary === "") {
    const others = await otherXtables(work, variants, capture.families);
    for (const other of others) await cleanUpIptables(capture, other, log);
  }
  return await applyIptables(capture, settings, realXtables(variants, programs, log), log);
}

/** The programs of the families whose rules are wanted: those of the other one need not be there. */
async function findVariants({ settings, capture, log, programs }: Work): Promise<Variants> {
  const variants: Partial<Record<Family, XtablesVariant>> = {};
  for (const family of capture.families) {
    variants[family] = await findXtables(family, settings.forceIptablesBinary, programs, log);
  }
  return variants;
}

function describe({ settings, machine, env, log }: Work): void {
  if (lacksDnsServers(settings, machine)) {
    log.warn("REDIRECT_DNS is set, but CAPTURE_ALL_DNS is false, and no DNS servers provided. DNS capture disabled.");
  }
  log.info(describeEnvironment(env, settings.nativeNftables));
  log.info(describeSettings(settings, machine));
}
