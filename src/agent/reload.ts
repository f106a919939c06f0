import { readFile, rename } from "node:fs/promises";
import { resolve } from "node:path";
import { AgentError, describeError, hideSecrets, systemClock } from "../base/index.ts";
import { describeDifference, diffByPath } from "../bootstrap/index.ts";
import { type AgentConfig, formatProblem } from "../config/index.ts";
import type { SpawnOptions, SupervisedEnvoy } from "../envoy/supervisor/index.ts";
import type { JsonValue, ProxyConfig } from "../proto/mesh/index.ts";
import type { AgentContext } from "./agent-context.ts";
import { findNode } from "./find-node.ts";
import { prepareBootstrap } from "./prepare-bootstrap.ts";
import { refuseInvalid, refuseOtherAdmin, refuseTakenPorts } from "./reload-checks.ts";
import { hotRestart } from "./room-options.ts";
import { findBinary, lookAround, planEnvoy } from "./spawn-envoy.ts";

/** What came of a reload. */
export interface ReloadReport {
  /** `unchanged` only where that was asked to be no reason. */
  readonly outcome: "replaced" | "unchanged" | "refused";
  /** Why the old Envoy serves on. */
  readonly reason?: string;
  /** How the bootstrap and the command line differ from those before, one line each. */
  readonly changes: readonly string[];
  /** Of the Envoy that serves now. */
  readonly pid: number | undefined;
  readonly ms: number;
}

export interface ReloadParts {
  readonly config: AgentConfig;
  readonly context: AgentContext;
  readonly envoy: SupervisedEnvoy;
  /** What the Envoy that runs was started with. */
  readonly spawn: SpawnOptions;
  readonly hasExternalSds: boolean;
  readonly stop: AbortSignal;
}

export interface ReloadOptions {
  /** False: an Envoy that would be started with the very same is left alone. */
  readonly evenIfUnchanged: boolean;
}

/** Reads the configuration again and has an Envoy with that take over. Never rejects; one at a time. */
export type Reload = (options?: ReloadOptions) => Promise<ReloadReport>;

/** To be called soon after the spawn: it notes what Envoy was started with. */
export async function createReload(parts: ReloadParts): Promise<Reload> {
  const { envoy, context } = parts;
  const { log } = context;
  let served = await describeStart(parts.spawn);
  let isBusy = false;

  const attempt = async ({ evenIfUnchanged }: ReloadOptions): Promise<Omit<ReloadReport, "ms" | "pid">> => {
    const config = await readAgain(parts);
    const node = await findNode(config, parts.hasExternalSds, log, parts.stop);
    const [surroundings, envoyBinary, file] = await Promise.all([
      lookAround(config, context),
      findBinary(config, context),
      prepareBootstrap(config, node, log, { isNext: true }),
    ]);
    try {
      const { spawn } = await planEnvoy({ surroundings, config, context, node, bootstrapFile: file.path, envoyBinary });
      const next = await describeStart(spawn);
      const changes = differencesOf(served, next);
      if (changes.length === 0 && !evenIfUnchanged) return { outcome: "unchanged", changes };
      for (const change of changes) log.info(`Reload: ${change}`);
      await refuseInvalid(spawn);
      refuseOtherAdmin(served.bootstrap, next.bootstrap);
      await refuseTakenPorts(served.bootstrap, next.bootstrap);
      await waitForEarlierEpochs(parts);
      const settledPath = file.path.replace(NEXT, ".$1");
      const settled = { ...spawn, args: spawn.args.map((word) => (word === file.path ? settledPath : word)) };
      const result = await envoy.replace(spawn, settled);
      if (result.kind === "refused") return { outcome: "refused", reason: result.reason, changes };
      await rename(resolve(config.cwd, file.path), resolve(config.cwd, settledPath));
      served = next;
      return { outcome: "replaced", changes };
    } finally {
      await file[Symbol.asyncDispose](); // nothing is there when it was renamed
    }
  };

  return async (options = { evenIfUnchanged: true }) => {
    const startedMs = performance.now();
    const done = (result: Omit<ReloadReport, "ms" | "pid">): ReloadReport => {
      const ms = Math.round(performance.now() - startedMs);
      if (result.outcome === "replaced") log.info("Reload: the next Envoy serves", { pid: envoy.pid(), ms });
      if (result.outcome === "refused") log.error(`Reload refused, the old Envoy serves on: ${result.reason}`);
      return { ...result, pid: envoy.pid(), ms };
    };
    if (hotRestart(parts.config) === undefined) return done({ outcome: "refused", reason: HOW_TO_ALLOW, changes: [] });
    if (isBusy) return done({ outcome: "refused", reason: "another reload is under way", changes: [] });
    isBusy = true;
    try {
      return done(await attempt(options));
    } catch (error) {
      return done({ outcome: "refused", reason: describeError(error), changes: [] });
    } finally {
      isBusy = false;
    }
  };
}

const HOW_TO_ALLOW = "hot restart is off; start the agent with --hot-restart";

/** In the name of a bootstrap that is not served yet. */
const NEXT = /\.next\.(json|yaml)$/;

/** What the agent itself runs on; an Envoy with other values would not find it. */
const FIXED_FIELDS = [
  "configPath",
  "customConfigFile",
  "discoveryAddress",
  "controlPlaneAuthPolicy",
  "statusPort",
  "proxyAdminPort",
  "terminationDrainDuration",
  "privateKeyProvider",
] as const satisfies readonly (keyof ProxyConfig)[];

async function readAgain({ config, context }: ReloadParts): Promise<AgentConfig> {
  if (context.readAgain === undefined) return config;
  const { config: read, warnings } = await context.readAgain();
  for (const warning of warnings) context.log.warn(formatProblem(warning));
  const changed = FIXED_FIELDS.filter((name) => text(read.proxy[name]) !== text(config.proxy[name]));
  if (changed.length > 0) {
    throw new AgentError("CONFIG_INVALID", `Cannot change ${changed.join(", ")} while the agent runs`, {
      hint: "Restart the agent",
    });
  }
  return read;
}

function text(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) => (typeof one === "bigint" ? String(one) : one)) ?? "";
}

interface StartDocument extends Record<string, JsonValue> {
  readonly envoy: string;
  readonly arguments: Record<string, string>;
  readonly bootstrap: JsonValue;
}

/** A start as a document: its arguments, and the content of its bootstrap as far as that is JSON. */
async function describeStart({ binary, args, cwd }: SpawnOptions): Promise<StartDocument> {
  const file = args[args.indexOf("-c") + 1] ?? "";
  const content = await readFile(resolve(cwd, file), "utf8");
  return { envoy: binary, arguments: byFlag(args.filter((word) => word !== file)), bootstrap: parse(content) };
}

/** `["-l", "info", "--enable-core-dump"]` as `{ "-l": "info", "--enable-core-dump": "" }`. */
function byFlag(args: readonly string[]): Record<string, string> {
  const isFlag = (word: string | undefined): boolean => word?.startsWith("-") === true;
  const named = args.flatMap((word, at) => {
    const value = args[at + 1];
    return isFlag(word) ? [[word, value === undefined || isFlag(value) ? "" : value] as const] : [];
  });
  return Object.fromEntries(named);
}

function parse(content: string): JsonValue {
  try {
    return JSON.parse(content) as JsonValue;
  } catch {
    return content; // a template's YAML: line by line is better than not at all
  }
}

/** By path; of a secret it is told that it changed. */
function differencesOf(before: JsonValue, after: JsonValue): string[] {
  const [shownBefore, shownAfter] = [before, after].map((one) => hideSecrets(one).document as JsonValue);
  const shown = new Map(diffByPath(shownBefore ?? null, shownAfter ?? null).map((one) => [one.path, one]));
  return diffByPath(before, after).map(({ path }) => {
    const difference = shown.get(path);
    return difference === undefined ? `~ ${path}: a secret, not shown` : describeDifference(difference);
  });
}

const LOOK_MS = 100;

/** A third epoch would cut the drain of the first short; it is given the time that it was promised. */
async function waitForEarlierEpochs({ envoy, config, stop, context }: ReloadParts): Promise<void> {
  const patienceMs = ((hotRestart(config)?.parentShutdownSeconds ?? 0) + 5) * 1_000;
  const until = systemClock.now() + patienceMs;
  if (envoy.count() > 1) context.log.info("Reload: waiting for an earlier Envoy to end its drain");
  while (envoy.count() > 1 && systemClock.now() < until) await systemClock.sleep(LOOK_MS, stop);
}
