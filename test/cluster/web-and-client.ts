import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { ReloadReport } from "../../src/agent/index.ts";
import { Lifetime } from "../../src/base/index.ts";
import { type Load, startLoad } from "../support/load.ts";
import { type Runtime, run } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { ask } from "./ask.ts";
import { type MeshProxy, startMeshProxy } from "./mesh-proxy.ts";
import { inboundSidecar, podAddress, scene, startApplication } from "./scene.ts";
import type { Cluster } from "./start-cluster.ts";

export interface WebAndClientOptions {
  /** Of both sidecars. */
  readonly env?: Readonly<Record<string, string>>;
  /** Of both sidecars. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
}

/** An application behind a sidecar, and another sidecar whose `port` leads there over strict mutual TLS. */
export interface WebAndClient extends AsyncDisposable {
  readonly web: MeshProxy;
  readonly client: MeshProxy;
  readonly both: readonly MeshProxy[];
  /** Sends requests through both of them, all the time. */
  startLoad(): MeshLoad;
  /** Starts the next Envoy of one of them in the place of the active one. */
  reload(proxy: MeshProxy): Promise<ReloadReport>;
  /** The headers of one request as the application sees them; empty when it was not answered with 200. */
  headers(): Promise<Readonly<Record<string, string>>>;
}

/** Clients whose first failed request ends the waiting. */
export interface MeshLoad extends Load {
  /** Rejects at the first request that fails. */
  moreAnswers(count: number): Promise<void>;
}

/** Resolves when both are ready and a request is answered. */
export async function startWebAndClient(
  runtime: Runtime,
  cluster: Cluster,
  options: WebAndClientOptions = {},
): Promise<WebAndClient> {
  const life = new Lifetime();
  try {
    const folder = await mkdtemp(join(tmpdir(), "pb-mesh-"));
    life.defer("folder", () => rm(folder, { recursive: true, force: true }));
    const application = await startApplication();
    life.defer("application", application.close);
    const [port = 0, gateway = 0] = await freePorts(2);
    for (const object of scene(cluster.namespace, { service: port, gateway, app: application.port }))
      await cluster.apply(object);
    const address = await podAddress(cluster, "web");
    await cluster.apply(inboundSidecar(address, application.port));
    const start = async (name: string, at: string): Promise<MeshProxy> => {
      const of = { folder: join(folder, name), account: name, pod: name, labels: { app: name }, address: at };
      return life.own(name, startMeshProxy(runtime, cluster, { ...of, ...options }));
    };
    const web = await start("web", address);
    const client = await start("client", await podAddress(cluster, "client"));
    for (const proxy of [web, client]) await expect.poll(() => proxy.readyStatus()).toBe(200);
    const host = `web.${cluster.namespace}.svc.cluster.local`;
    const answer = () => ask(port, { host });
    await expect.poll(async () => (await answer()).status).toBe(200);
    return {
      ...{ web, client, both: [web, client] },
      startLoad: () => failFast(startLoad({ port, authority: host })),
      async reload({ folder: at }) {
        const words = ["reload", "--force", "--run-folder", at, "--config-path", "proxy", "-o", "json"];
        return JSON.parse((await run(runtime, words)).stdout) as ReloadReport;
      },
      headers: async () => (await answer()).headers,
      [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
    };
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
}

function failFast(load: Load): MeshLoad {
  const failed = load.firstFailure().then(({ kind, reason }) => Promise.reject(new Error(`${kind}: ${reason}`)));
  failed.catch(() => undefined); // whoever waits meets it
  return { ...load, moreAnswers: (count) => Promise.race([load.moreAnswers(count), failed]) };
}

/** What `pilotboat status` prints for people. */
export async function shownStatus(runtime: Runtime, { folder }: MeshProxy): Promise<string> {
  return (await run(runtime, ["status", folder, "--config-path", "proxy"])).stdout;
}

/** The process id of Envoy. */
export async function envoyPid(proxy: MeshProxy): Promise<number> {
  const { envoy } = await proxy.report();
  if (!("child" in envoy)) throw new Error(`Envoy is ${envoy.kind}`);
  return envoy.child.pid;
}
