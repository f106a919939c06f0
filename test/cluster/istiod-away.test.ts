import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeLoad } from "../support/load.ts";
import { runtimes } from "../support/pilotboat.ts";
import type { MeshProxy } from "./mesh-proxy.ts";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";
import { hasCluster } from "./start-cluster.ts";
import { envoyPid, shownStatus, startWebAndClient } from "./web-and-client.ts";

// istiod goes away under two sidecars that serve, and comes back.

const AWAY = /UNAVAILABLE: .*ECONNREFUSED 127\.0\.0\.1:\d+/;
/** Answers between two events; some 300 come in a second of a busy machine. */
const SOME = 300;

describe.runIf(hasCluster())("a restart of istiod", { timeout: 180_000 }, () => {
  let own: OwnCluster;
  beforeAll(async () => {
    own = await startOwnCluster();
  }, 300_000);
  afterAll(() => own?.[Symbol.asyncDispose]());

  test.each(runtimes())(
    "costs no request and no Envoy; why it is away is shown meanwhile, on $name",
    async (runtime) => {
      await using cluster = await own.enter();
      await using mesh = await startWebAndClient(runtime, cluster);
      const pids = await Promise.all(mesh.both.map(envoyPid));
      await using load = mesh.startLoad();
      await load.moreAnswers(SOME);

      await own.istiod.kill();
      for (const proxy of mesh.both) {
        await expect.poll(() => shownStatus(runtime, proxy)).toMatch(AWAY);
        expect(await proxy.readyStatus()).toBe(200);
      }
      await load.moreAnswers(SOME);

      await own.istiod.start();
      for (const proxy of mesh.both) {
        await proxy.command.waitFor(/upstream XDS server responds again/);
        await expect.poll(() => shownStatus(runtime, proxy)).not.toMatch(AWAY);
      }
      await cluster.apply(headerForWeb(cluster.namespace));
      await expect.poll(async () => (await mesh.headers())["x-after"]).toBe("restart");

      const tally = await load.finish();
      console.log(`${runtime.name}, istiod restarted: ${describeLoad(tally)}`);
      expect(tally.failures).toEqual([]);
      expect(await Promise.all(mesh.both.map(envoyPid))).toEqual(pids);
      for (const proxy of mesh.both) expect(await proxy.rejectedUpdates()).toBe(0);
    },
  );

  test.each(runtimes())(
    "meanwhile Envoys that are killed, or replaced by a reload, come back with what they had, marked as stale until istiod is back, on $name",
    async (runtime) => {
      await using cluster = await own.enter();
      const env = { PILOTBOAT_LAST_GOOD: "true", PILOTBOAT_RESTART: "on-failure", PILOTBOAT_HOT_RESTART: "true" };
      await using mesh = await startWebAndClient(runtime, cluster, { env });
      const pids = await Promise.all(mesh.both.map(envoyPid));

      await own.istiod.kill();
      for (const pid of pids) process.kill(pid, "SIGKILL");
      for (const proxy of mesh.both) {
        await proxy.command.waitFor(/Envoy gets the last configuration that it accepted/);
        await expect.poll(() => proxy.readyStatus()).toBe(200);
        expect(await shownStatus(runtime, proxy)).toMatch(/^stale +Envoy has the last configuration/m);
        expect(await proxy.readyText()).toMatch(/^stale: Envoy has the last configuration that it accepted, of /);
        expect(await servedLastGood(proxy)).toBe("1");
      }
      await expect.poll(async () => Object.keys(await mesh.headers()).length).toBeGreaterThan(0);
      for (const proxy of mesh.both) expect(await mesh.reload(proxy)).toMatchObject({ outcome: "replaced" });
      expect(Object.keys(await mesh.headers()).length).toBeGreaterThan(0);

      await own.istiod.start();
      for (const proxy of mesh.both) await proxy.command.waitFor(/Envoy's configuration is up to date again/);
      await cluster.apply(headerForWeb(cluster.namespace));
      await expect.poll(async () => (await mesh.headers())["x-after"]).toBe("restart");
      for (const proxy of mesh.both) {
        expect(await shownStatus(runtime, proxy)).not.toMatch(/^stale/m);
        expect(await proxy.readyText()).not.toMatch(/^stale: /m);
        expect(await servedLastGood(proxy)).toBe("0");
        expect(await proxy.rejectedUpdates()).toBe(0);
      }
      const now = await Promise.all(mesh.both.map(envoyPid));
      expect(now.some((pid) => pids.includes(pid))).toBe(false);
    },
  );
});

/** The metric that says so. */
async function servedLastGood({ statusUrl }: MeshProxy): Promise<string | undefined> {
  const metrics = await (await fetch(`${statusUrl}/metrics`)).text();
  return /^istio_agent_xds_last_good_served (\d)$/m.exec(metrics)?.[1];
}

/** Changes what the client's Envoy sends, which only an istiod that is connected can make it do. */
function headerForWeb(namespace: string) {
  const host = `web.${namespace}.svc.cluster.local`;
  const route = { route: [{ destination: { host } }], headers: { request: { set: { "x-after": "restart" } } } };
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "header" },
    spec: { hosts: [host], http: [route] },
  };
}
