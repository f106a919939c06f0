import { AgentError, createMetrics, describeError, silentLogger, systemClock } from "../../base/index.ts";
import { createCaClient } from "../../identity/index.ts";
import type { Cluster } from "../../kubernetes/index.ts";
import { ISTIO_VERSION } from "../../version.ts";
import { forwardIstiod, type IstiodFacts, type IstiodForward, istiodFacts } from "../cluster/index.ts";
import { type Check, type Finding, failed, ok, skipped, warning } from "./check.ts";
import type { Credentials } from "./credentials.ts";
import { rightsChecks } from "./rights.ts";
import type { RightsPlaces } from "./rights-table.ts";
import { rootTrouble } from "./root-at-istiod.ts";

export interface ClusterFacts {
  /** The cluster is left alone. */
  readonly isLocal: boolean;
  /** Rejects with KUBECONFIG_INVALID or KUBECONFIG_MISSING; asked once. */
  readonly cluster: () => Promise<Cluster>;
  readonly places: () => Promise<RightsPlaces>;
  readonly istioNamespace: string;
  readonly revision: string | undefined;
  /** `ISTIO_META_CLUSTER_ID`; empty when it is not set. */
  readonly clusterId: string;
  readonly identity: { readonly namespace: string; readonly serviceAccount: string };
  readonly credentials: Credentials;
  readonly credentialsCommand: string;
}

/** What needs the API server, and istiod behind it. Disposing what the checks opened is `close`. */
export function clusterChecks(facts: ClusterFacts): { readonly checks: readonly Check[]; close(): Promise<void> } {
  const istiod = new Istiod(facts);
  const checks: readonly Check[] = [
    { name: "kube context", needs: [], run: () => checkContext(facts) },
    {
      ...{ name: "API server", needs: ["kube context"], run: (signal) => checkServer(facts, signal) },
      late: async () => lateBecause((await facts.cluster()).waitsFor()),
    },
    { name: "clock", needs: ["API server"], run: (signal) => checkClock(facts, signal) },
    ...rightsChecks(facts.cluster, facts.places),
    { name: "istiod", needs: ["API server"], run: (signal) => istiod.checkPods(signal) },
    { name: "way to istiod", needs: ["istiod"], run: (signal) => istiod.checkWay(signal) },
    { name: "root at istiod", needs: ["way to istiod", "root"], run: () => istiod.checkRoot() },
    { name: "token at istiod", needs: ["root at istiod"], run: (signal) => istiod.checkToken(signal) },
    { name: "cluster id", needs: ["root at istiod"], run: (signal) => istiod.checkClusterId(signal) },
    { name: "versions", needs: ["istiod"], run: (signal) => istiod.checkVersions(signal) },
  ];
  return { checks, close: () => istiod.close() };
}

async function checkContext({ isLocal, cluster }: ClusterFacts): Promise<Finding> {
  if (isLocal) return skipped("--local was given");
  try {
    const { context, server } = await cluster();
    return ok(`"${context}", ${server}`);
  } catch (error) {
    if (error instanceof AgentError && error.code === "KUBECONFIG_MISSING") return skipped(error.message);
    throw error;
  }
}

/** A person may have to log in, and the plugin's own lines are on standard error. */
function lateBecause(plugin: string | undefined): Pick<Finding, "found" | "fix"> | undefined {
  if (plugin === undefined) return undefined;
  const found = `the credential plugin "${plugin}" still ran, and was stopped`;
  return { found, fix: `Let it log in by itself first, for example: kubectl auth whoami` };
}

async function checkServer({ cluster }: ClusterFacts, signal: AbortSignal): Promise<Finding> {
  return ok(`it answers, Kubernetes ${(await (await cluster()).about(signal)).version}`);
}

/** Tokens and certificates begin a little before their time, and nobody's clock is exact. */
const TELLING_MS = 5_000;
const WRONG_MS = 60_000;
/** The Date header has no fractions. */
const ROUNDING_MS = 1_000;

async function checkClock({ cluster }: ClusterFacts, signal: AbortSignal): Promise<Finding> {
  const askedMs = systemClock.now();
  const { dateMs } = await (await cluster()).about(signal);
  const answeredMs = systemClock.now();
  if (dateMs === undefined || Number.isNaN(dateMs)) return skipped("the API server does not say its time");
  const aheadMs = askedMs > dateMs + ROUNDING_MS ? askedMs - dateMs - ROUNDING_MS : Math.min(0, answeredMs - dateMs);
  const off = Math.abs(aheadMs);
  if (off < TELLING_MS) return ok("it agrees with the API server's");
  const found = `this machine's is ${Math.round(off / 1_000)} s ${aheadMs > 0 ? "ahead of" : "behind"} the API server's`;
  const fix = "Set the clock, for example: sudo timedatectl set-ntp true";
  return off < WRONG_MS
    ? warning(found, fix)
    : failed(`${found}: tokens and certificates count as expired or not yet valid`, fix);
}

/** What istiod says; each thing is asked once, by whichever check is first. */
class Istiod {
  readonly #facts: ClusterFacts;
  readonly #end = new AbortController();
  #pods: Promise<IstiodFacts> | undefined;
  #way: Promise<IstiodForward> | undefined;
  readonly #trials = new Map<string, Promise<string | undefined>>();

  constructor(facts: ClusterFacts) {
    this.#facts = facts;
  }

  async checkPods(signal: AbortSignal): Promise<Finding> {
    const { pods, revision } = await this.#found(signal);
    return ok(`revision "${revision}", ready: ${pods.join(", ")}`);
  }

  async checkWay(_signal: AbortSignal): Promise<Finding> {
    const { istiodSan, pod } = await this.#forward();
    return ok(`pod ${pod()} answers through the API server as ${istiodSan}`);
  }

  async checkRoot(): Promise<Finding> {
    const { port, istiodSan } = await this.#forward();
    const { credentials, credentialsCommand } = this.#facts;
    if (!(await credentials.hasRoot())) return skipped("there is no root to compare");
    const trouble = await rootTrouble(port, istiodSan, credentials.rootFile);
    return trouble === undefined
      ? ok("istiod's certificate is signed by it")
      : failed(trouble, `Run: ${credentialsCommand}`);
  }

  async checkToken(signal: AbortSignal): Promise<Finding> {
    const { credentials, credentialsCommand, clusterId } = this.#facts;
    if ((await credentials.token()).secret === undefined) return skipped("there is no token to show");
    const refused = await this.#refusal(clusterId, signal);
    if (refused === undefined) return ok("istiod takes it");
    if (clusterId !== "" && (await this.#refusal("", signal)) === undefined)
      return ok("istiod takes it, for its own cluster");
    return failed(refused, `Run: ${credentialsCommand}`);
  }

  async checkClusterId(signal: AbortSignal): Promise<Finding> {
    const { clusterId, credentials } = this.#facts;
    if ((await credentials.token()).secret === undefined) return skipped("there is no token to show with it");
    const { clusterIds } = await this.#found(signal);
    const known = clusterIds[0] ?? "Kubernetes";
    const fix = `export ISTIO_META_CLUSTER_ID=${known}`;
    if (clusterId === "")
      return warning("ISTIO_META_CLUSTER_ID is not set: istiod takes its own, and gateways get no secrets", fix);
    const refused = await this.#refusal(clusterId, signal);
    if (refused === undefined) return ok(`"${clusterId}"`);
    if ((await this.#refusal("", signal)) !== undefined) return skipped("istiod takes the token for no cluster");
    return failed(
      `istiod does not know the cluster "${clusterId}" (ISTIO_META_CLUSTER_ID); for its own it takes the token`,
      fix,
    );
  }

  async checkVersions(signal: AbortSignal): Promise<Finding> {
    const { versions } = await this.#found(signal);
    const like = `pilotboat behaves like Istio ${ISTIO_VERSION}`;
    const [version] = versions;
    if (version === undefined) return ok(`${like}; the image of istiod does not say which it is`);
    const found = `istiod ${versions.join(", ")}; ${like}`;
    const newer = minorOf(ISTIO_VERSION) - minorOf(version);
    if (newer > 0) return warning(`${found}, which is newer than istiod`, `export ISTIO_META_ISTIO_VERSION=${version}`);
    return ok(found);
  }

  async close(): Promise<void> {
    this.#end.abort(new Error("the doctor is done"));
    const way = await this.#way?.catch(() => undefined);
    await way?.[Symbol.asyncDispose]();
  }

  #found(signal: AbortSignal): Promise<IstiodFacts> {
    const { cluster, istioNamespace, revision } = this.#facts;
    this.#pods ??= cluster().then((opened) => istiodFacts(opened, { istioNamespace, revision }, signal));
    return this.#pods;
  }

  #forward(): Promise<IstiodForward> {
    const { cluster, istioNamespace, revision } = this.#facts;
    const options = { istioNamespace, revision, log: silentLogger };
    this.#way ??= cluster().then((opened) => forwardIstiod({ ...options, cluster: opened }, this.#end.signal));
    return this.#way;
  }

  /** Why istiod does not take the token for that cluster; undefined when it does. */
  #refusal(clusterId: string, signal: AbortSignal): Promise<string | undefined> {
    const asked = this.#trials.get(clusterId) ?? this.#try(clusterId, signal);
    this.#trials.set(clusterId, asked);
    return asked;
  }

  /** Shows the token to istiod's CA, with a request that it cannot sign: nothing is issued. */
  async #try(clusterId: string, signal: AbortSignal): Promise<string | undefined> {
    const { credentials, identity } = this.#facts;
    const { port, istiodSan } = await this.#forward();
    const options = {
      endpoint: `localhost:${port}`,
      roots: { kind: "file", path: credentials.rootFile } as const,
      ...{
        nameOverride: istiodSan,
        clientFiles: undefined,
        compliance: "",
        certSigner: "",
        headers: [],
        ttlSeconds: 60,
      },
      ...{ tokens: credentials.tokens, tokenFile: undefined, clusterId, identity },
    };
    const client = createCaClient(options, { log: silentLogger, metrics: createMetrics("doctor_") });
    const error = await client.sign("", signal).then(
      () => undefined,
      (found: unknown) => found,
    );
    const [, code, reason] = /code = (\w+) desc = ([\s\S]*)/.exec(describeError(error)) ?? [];
    if (code === "Unauthenticated" || code === "PermissionDenied") return `${code}: ${reason}`;
    if (code === "InvalidArgument" || code === "Internal" || error === undefined) return undefined; // it got as far as the request
    throw error;
  }
}

function minorOf(version: string): number {
  return Number(/^\d+\.(\d+)/.exec(version)?.[1] ?? Number.NaN);
}
