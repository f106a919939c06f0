import { describe, expect, test } from "vitest";
import { describeLoad } from "../support/load.ts";
import { type Runtime, runtimes } from "../support/pilotboat.ts";
import type { MeshProxy } from "./mesh-proxy.ts";
import { hasCluster, startCluster } from "./start-cluster.ts";
import { type MeshLoad, startWebAndClient } from "./web-and-client.ts";

// Requests all the time, from sidecar to sidecar, under a real istiod. What a restart of istiod costs is in istiod-away.test.ts.

/** Answers between two events; some 300 come in a second of a busy machine. */
const SOME = 300;
const RELOADS = 3;
const DRAIN_MS = 8_000;
/** Timers may fire a little early on another clock than theirs. */
const TIMER_GRAIN_MS = 5;

describe.runIf(hasCluster()).each(runtimes())("under load, on $name", { timeout: 240_000 }, (runtime) => {
  test(`${RELOADS} hot restarts of each sidecar cost no request`, async () => {
    await using cluster = await startCluster();
    await using mesh = await startWebAndClient(runtime, cluster, {
      // Envoy closes a connection that was silent for all of this time; no client is
      env: { PILOTBOAT_HOT_RESTART: "true", PILOTBOAT_PARENT_SHUTDOWN: "5s" },
      proxyConfig: { drainDuration: "3s" },
    });
    await using load = mesh.startLoad();
    for (let reload = 1; reload <= RELOADS; reload++) {
      for (const proxy of mesh.both) {
        await load.moreAnswers(SOME);
        expect(await mesh.reload(proxy)).toMatchObject({ outcome: "replaced" });
      }
    }
    await load.moreAnswers(SOME);
    await expectNoFailure(runtime, "hot restarts", load);
  });

  test("new certificates every few seconds cost no request", async () => {
    await using cluster = await startCluster();
    // the next certificate is requested after a tenth of the life
    const env = { SECRET_TTL: "30s", SECRET_GRACE_PERIOD_RATIO: "0.9", SECRET_GRACE_PERIOD_RATIO_JITTER: "0" };
    await using mesh = await startWebAndClient(runtime, cluster, { env });
    await using load = mesh.startLoad();
    const seen = new Map(mesh.both.map((proxy) => [proxy, new Set<string | undefined>()]));
    for (const [proxy, serials] of seen) {
      await expect.poll(async () => serials.add(await serialOf(proxy)).size, { timeout: 60_000 }).toBeGreaterThan(3);
    }
    await load.moreAnswers(SOME);
    await expectNoFailure(runtime, "certificates renewed", load);
    for (const proxy of mesh.both) expect(await proxy.rejectedUpdates()).toBe(0);
  });

  test.each(["client", "web"] as const)("a graceful stop of %s costs no request while it drains", async (name) => {
    await using cluster = await startCluster();
    const proxyConfig = { terminationDrainDuration: `${DRAIN_MS}ms` };
    await using mesh = await startWebAndClient(runtime, cluster, { proxyConfig });
    await using load = mesh.startLoad();
    await load.moreAnswers(SOME);
    const { command } = mesh[name];
    const signalMs = performance.now();
    command.kill("SIGTERM");
    await load.moreAnswers(SOME); // the application of a pod ends before its sidecar, and so do its requests
    await expectNoFailure(runtime, `graceful stop of ${name}`, load);
    expect((await command.ended).code).toBe(0);
    expect(performance.now() - signalMs).toBeGreaterThan(DRAIN_MS - TIMER_GRAIN_MS);
  });
});

async function expectNoFailure(runtime: Runtime, what: string, load: MeshLoad): Promise<void> {
  const tally = await load.finish();
  console.log(`${runtime.name}, ${what}: ${describeLoad(tally)}`);
  expect(tally.failures).toEqual([]);
}

async function serialOf(proxy: MeshProxy): Promise<string | undefined> {
  return (await proxy.report()).identity?.certificate?.serialNumber;
}
