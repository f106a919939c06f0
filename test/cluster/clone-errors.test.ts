import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { run, runtimes } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { type Fault, type FaultyApi, startFaultyApi } from "./faulty-api.ts";
import { injectedPod } from "./injected-pod.ts";
import { podAddress } from "./scene.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

const status = (code: number): Fault => ({
  ...{ status: code, body: `{"kind":"Status","status":"Failure","message":"no","code":${code}}` },
});

const FAULTS: readonly (readonly [name: string, fault: Fault])[] = [
  ["cut", "cut"],
  ["refused", status(403)],
];

/** Tried on one runtime: what becomes of an answer is the same code on both. */
const MORE_FAULTS: typeof FAULTS = [
  ["without an answer", "hang"],
  ["unauthorized", status(401)],
  ["in conflict", status(409)],
];

/** What a command can do without: who may not read it gets the next best, and a search for near names is only a hint. */
const DISPENSABLE = [
  /configmaps(\/\S+)? refused$/,
  /configmaps (cut|without an answer|unauthorized|in conflict)$/,
  /virtualservices refused$/,
  /services refused$/,
  /\/pods refused$/, // those of all namespaces are listed as well
  /portforward (refused|unauthorized|in conflict)$/, // SPDY is tried after the WebSocket
];

describe.runIf(hasCluster()).each(runtimes())(
  "clone and gateway with an API server in trouble, on $name",
  { timeout: 400_000 },
  (runtime) => {
    let cluster: Cluster;
    let api: FaultyApi;
    let folder: string;
    let env: Record<string, string>;

    beforeAll(async () => {
      cluster = await startCluster();
      api = await startFaultyApi(cluster);
      folder = await mkdtemp(join(tmpdir(), "pb-clone-errors-"));
      const kubeconfig = join(await mkdtemp(join(folder, "kube-")), "config");
      await writeFile(kubeconfig, api.kubeconfig, { mode: 0o600 });
      env = {
        KUBECONFIG: kubeconfig,
        TMPDIR: folder,
        PROXY_CONFIG: JSON.stringify({ binaryPath: await realEnvoy() }),
      };
      await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "edge" } });
      const pod = { account: "edge", labels: { edge: cluster.namespace }, address: "10.9.3.1" };
      await cluster.apply(injectedPod({ name: "edge", ...pod }));
      await podAddress(cluster, "edge");
      await cluster.apply({
        ...{ apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "edge" } },
        spec: {
          selector: { edge: cluster.namespace },
          servers: [{ port: { number: 31_380, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
        },
      });
    }, 300_000);
    afterEach(() => api.mend());
    afterAll(async () => {
      await api?.[Symbol.asyncDispose]();
      await cluster?.[Symbol.asyncDispose]();
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    });

    const start = (command: string) =>
      run(runtime, [command, "edge", "--request-timeout", "1s", "--ready-timeout", "5s", "--", "true"], { env });
    const left = async () => (await readdir(folder)).filter((name) => !name.startsWith("kube-"));

    test("a gateway whose pods may nowhere be listed is not taken for another account", async () => {
      api.break(/^GET \/api\/v1\/(namespaces\/[^/]+\/)?pods\?/, status(403));
      const { code, stderr } = await start("gateway");
      expect(code).toBe(1);
      expect(stderr).toMatch(/Cannot tell the service account of gateway "edge".*\[KUBE_FORBIDDEN\]/);
      expect(stderr).toContain("--service-account");
    });

    test.each(["clone", "gateway"])("%s: each call that fails is told, and nothing is left", async (command) => {
      const before = api.seen.length;
      expect(await start(command)).toMatchObject({ code: 0 });
      const calls = [
        ...new Set(api.seen.slice(before).map((line) => line.replace(/\?.*/, "").replace(/ (websocket|SPDY\S*)$/, ""))),
      ];
      expect(calls.length).toBeGreaterThan(4);
      for (const call of calls) {
        for (const [name, fault] of runtime.name === "Node" ? [...FAULTS, ...MORE_FAULTS] : FAULTS) {
          api.break(new RegExp(`^${call.replaceAll(/[.*+?^$()[\]{}|\\]/g, "\\$&")}(\\?| |$)`), fault);
          const { code, stderr } = await start(command);
          const what = `${call} ${name}`;
          if (code === 0)
            expect
              .soft(
                DISPENSABLE.filter((one) => one.test(what)),
                what,
              )
              .not.toEqual([]);
          else expect.soft([code, stderr], what).toEqual([1, expect.stringMatching(/\[KUBE_[A-Z]+\]/)]);
          expect(await left(), what).toEqual([]);
        }
      }
    });
  },
);
