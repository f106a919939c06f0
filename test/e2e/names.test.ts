import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { connectAds } from "../support/ads-client.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { silentNames, whyNoMounts } from "../support/names.ts";
import { type RunningCommand, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createSandbox } from "../support/sandbox.ts";
import { createTestCa } from "../support/test-ca.ts";

const skipped = whyNoMounts();
const title = skipped === undefined ? "names on $name" : `names on $name (skipped: ${skipped})`;
/** What one question that is not answered costs; who waits for an answer takes longer. Source: resolv.conf(5), timeout. */
const ONE_TRY_MS = 5_000;
const CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

describe.skipIf(skipped !== undefined).each(runtimes())(title, (runtime) => {
  /** From SIGTERM to the end of the process. */
  const timeOfEnd = async (command: RunningCommand): Promise<number> => {
    const sinceMs = performance.now();
    command.kill("SIGTERM");
    expect(await command.ended).toEqual({ code: 0, signal: null });
    return performance.now() - sinceMs;
  };

  test.each([
    ["the CA and istiod", { discoveryAddress: "istiod.never.example:15012" }],
    ["a statistics server", { statsdUdpAddress: "statsd.never.example:8125" }],
  ])("reality 4: SIGTERM while the name of %s is looked up at the start ends it at once", async (_, proxyConfig) => {
    await using names = await silentNames();
    const folder = await folderWithRoot((await createTestCa()).certPem);
    const [statusPort] = await freePorts(1);
    await using agent = start(names.inside(runtime), ["proxy", "sidecar"], {
      cwd: folder,
      env: {
        PROXY_CONFIG: JSON.stringify({ statusPort, ...proxyConfig }),
        ...{ DISABLE_ENVOY: "true", OUTPUT_CERTS: ".", INSTANCE_IP: "127.0.0.1" },
      },
    });
    await expect.poll(() => names.questions()).toBeGreaterThan(0);
    expect(await timeOfEnd(agent)).toBeLessThan(ONE_TRY_MS);
  });

  test.each<[string[], NodeJS.Signals, number]>([
    [["config"], "SIGINT", 1],
    [["config", "explain", "CA_ADDR"], "SIGTERM", 1],
    [["config", "node"], "SIGINT", 1],
    [["bootstrap", "render"], "SIGTERM", 1],
    [["bootstrap", "validate"], "SIGINT", 1],
    [["run", "--", "true"], "SIGTERM", 143],
  ])("reality 4: the look-up of a name by %j is given up at %s, with code %i", async (words, signal, code) => {
    await using names = await silentNames();
    const folder = await folderWithRoot("");
    const env = { PROXY_CONFIG: `{"statsdUdpAddress":"statsd.never.example:8125"}`, INSTANCE_IP: "127.0.0.1" };
    await using command = start(names.inside(runtime), words, { cwd: folder, env });
    await expect.poll(() => names.questions()).toBeGreaterThan(0);
    const sinceMs = performance.now();
    command.kill(signal);
    expect((await command.ended).code).toBe(code);
    expect(performance.now() - sinceMs).toBeLessThan(ONE_TRY_MS);
    expect(command.stdout()).toBe(""); // nothing that looks like the answer
    if (code === 1) expect(command.stderr()).toBe(`Error: Stopped: received signal ${signal} [STOPPED]\n`);
  });

  test("reality 4: SIGTERM to a sidecar that was ready, and looks for a control plane that is gone, ends it at once", async () => {
    await using names = await silentNames("127.0.0.1 istiod.test");
    await using sandbox = await createSandbox(runtime);
    const controlPlane = await sandbox.startControlPlane();
    await using agent = start(names.inside(runtime), ["proxy", "sidecar"], {
      cwd: sandbox.folder,
      env: await sandbox.proxyEnvironment({
        proxyConfig: { discoveryAddress: `istiod.test:${sandbox.ports.controlPlane}` },
        env: { ISTIOD_SAN: "istiod.istio-system.svc" },
      }),
    });
    await agent.waitFor(/Start: .* ready \d+ ms/);
    await names.setHosts("");
    controlPlane.kill("SIGKILL");
    await controlPlane.ended;
    await expect.poll(() => names.questions()).toBeGreaterThan(0);
    expect(await timeOfEnd(agent)).toBeLessThan(ONE_TRY_MS);
  });

  test("reality 7: absolute names, with a dot at their end, are found in /etc/hosts and verified without it", async () => {
    await using names = await silentNames("127.0.0.9 istiod.test\n127.0.0.1 istiod.test\n127.0.0.1 CA.test.");
    const tlsCa = await createTestCa();
    await using ca = await startFakeCa({ tlsCa, dns: ["ca.test"] });
    await using istiod = await startFakeIstiod({ tls: await tlsCa.issue({ dns: ["istiod.test"] }) });
    const folder = await folderWithRoot(tlsCa.certPem);
    const [statusPort] = await freePorts(1);
    await using agent = start(names.inside(runtime), ["proxy", "sidecar"], {
      cwd: folder,
      env: {
        PROXY_CONFIG: JSON.stringify({ statusPort, discoveryAddress: `istiod.test.:${istiod.port}` }),
        CA_ADDR: `ca.test.:${ca.port}`,
        ...{ DISABLE_ENVOY: "true", OUTPUT_CERTS: ".", INSTANCE_IP: "127.0.0.1" },
      },
    });
    await expect.poll(() => ca.requests.length).toBe(1);
    await agent.waitFor(/./);
    using envoy = connectAds(join(folder, "etc/istio/proxy/XDS"));
    envoy.open("delta").request({ typeUrl: CDS });
    await expect.poll(() => istiod.streams[0]?.authority).toBe("istiod.test");
    expect(names.questions()).toBe(0);
  });
});

async function folderWithRoot(pem: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pb-names-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const root = join(folder, "var/run/secrets/istio/root-cert.pem");
  await mkdir(dirname(root), { recursive: true });
  await writeFile(root, pem);
  return folder;
}
