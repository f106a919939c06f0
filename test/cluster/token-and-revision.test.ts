import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeFileAtomically } from "../../src/base/index.ts";
import { PATHS } from "../../src/istio/index.ts";
import { type Runtime, runtimes } from "../support/pilotboat.ts";
import { type MeshProxy, startMeshProxy } from "./mesh-proxy.ts";
import { signedToken } from "./signed-token.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";
import { envoyPid, shownStatus } from "./web-and-client.ts";

describe.runIf(hasCluster()).each(runtimes())("with a real istiod, on $name", { timeout: 120_000 }, (runtime) => {
  let cluster: Cluster;
  let folder: string;
  beforeAll(async () => {
    cluster = await startCluster();
    folder = await mkdtemp(join(tmpdir(), "pb-renewal-"));
    await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "web" } });
  }, 300_000);
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test("a token that expires under a running sidecar is named, and a new one is enough", async () => {
    // a certificate is asked for every three seconds, each time with the token of that moment
    const env = { SECRET_TTL: "30s", SECRET_GRACE_PERIOD_RATIO: "0.9", SECRET_GRACE_PERIOD_RATIO_JITTER: "0" };
    await using proxy = await start(runtime, "token", { env });
    await expect.poll(() => proxy.readyStatus()).toBe(200);
    const pid = await envoyPid(proxy);
    const tokenFile = join(folder, "token", PATHS.token);

    const overSeconds = Math.floor(Date.now() / 1_000) - 120; // the API server takes one for a minute more
    const times = { iat: overSeconds - 600, nbf: overSeconds - 600, exp: overSeconds };
    await writeFileAtomically(tokenFile, await signedToken(cluster, "web", times));
    await expect.poll(() => shownStatus(runtime, proxy)).toMatch(/^token +expired, expired /m);
    await expect
      .poll(() => shownStatus(runtime, proxy))
      .toMatch(/^trouble +the certificate cannot be renewed: .*the token expired at \S+Z and was not replaced/m);
    expect(await proxy.readyStatus()).toBe(200);
    const before = (await proxy.report()).identity?.certificate?.serialNumber;

    await writeFileAtomically(tokenFile, await cluster.token("web", { seconds: SHORTEST_SECONDS }));
    await expect.poll(async () => (await proxy.report()).identity?.troubles).toEqual([]);
    const { identity } = await proxy.report();
    expect(identity?.token.kind).toBe("valid");
    expect(identity?.certificate?.serialNumber).not.toBe(before);
    expect(await envoyPid(proxy)).toBe(pid);
    expect(await proxy.readyStatus()).toBe(200);
  });

  test("the address of a revision that is not there is named", async () => {
    await using proxy = await start(runtime, "absent", {
      proxyConfig: { discoveryAddress: "istiod-canary.istio-system.svc:15012" },
    });
    await expect.poll(() => proxy.readyText()).toMatch(/UNAVAILABLE: .*lookup istiod-canary\.istio-system\.svc/);
    expect(await proxy.readyStatus()).toBe(503);
    expect(await shownStatus(runtime, proxy)).toMatch(
      /^because +\S+: control plane "istiod-canary\..*lookup istiod-canary\./m,
    );
  });

  test("an address whose istiod has a certificate for other names is named", async () => {
    const [, port] = cluster.discoveryAddress.split(":");
    await using proxy = await start(runtime, "other", { proxyConfig: { discoveryAddress: `127.0.0.1:${port}` } });
    const remedy = `the certificate of "127.0.0.1:${port}" is for .*"istiod.istio-system.svc".*; set ISTIOD_SAN to one of its names`;
    const reason = new RegExp(`UNAVAILABLE: .*IP: 127\\.0\\.0\\.1 is not in the cert's list; ${remedy}`);
    await expect.poll(() => proxy.readyText()).toMatch(reason);
    expect(await proxy.readyText()).not.toContain("is Istiod running");
    expect(await proxy.readyStatus()).toBe(503);
    expect(await shownStatus(runtime, proxy)).toMatch(reason);
  });

  test("the name of ISTIOD_SAN that the certificate does not have is named, with those that it has", async () => {
    await using proxy = await start(runtime, "san", { env: { ISTIOD_SAN: "other.example" } });
    const remedy =
      /is for .*"istiod\.istio-system\.svc".*; set ISTIOD_SAN, which is "other\.example", to one of its names/;
    await expect.poll(() => proxy.readyText()).toMatch(remedy);
    expect(await shownStatus(runtime, proxy)).toMatch(remedy);
    expect(proxy.command.stdout()).toMatch(remedy);
  });

  test("the label of another revision changes nothing: istiod serves whoever asks it", async () => {
    await using proxy = await start(runtime, "label", { labels: { "istio.io/rev": "canary" } });
    await expect.poll(() => proxy.readyStatus()).toBe(200);
    expect((await proxy.report()).controlPlane.state).toBe("responding");
    expect((await proxy.report()).identity?.troubles).toEqual([]);
  });

  function start(
    runtime: Runtime,
    name: string,
    options: Partial<Parameters<typeof startMeshProxy>[2]>,
  ): Promise<MeshProxy> {
    const workload = { folder: join(folder, name), account: "web", pod: "web", labels: {} };
    return startMeshProxy(runtime, cluster, { ...workload, ...options });
  }
});

/** The API server issues none for less. */
const SHORTEST_SECONDS = 600;
