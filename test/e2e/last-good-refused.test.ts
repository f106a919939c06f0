import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeFields } from "../../src/proto/wire.ts";
import { FAKE_ENVOY } from "../faults/rig.ts";
import { type AdsStream, connectAds } from "../support/ads-client.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";
import { createTestCa } from "../support/test-ca.ts";

const CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const LDS = "type.googleapis.com/envoy.config.listener.v3.Listener";
const NODE = "sidecar~127.0.0.1~quickstart.default~default.svc.cluster.local";

// The test plays Envoy and istiod. Each runtime's TLS words a refusal its own way: OpenSSL on Node, BoringSSL on Bun.
test.each(runtimes())(
  "a proxy whose certificate the control plane refuses by a TLS alert gets nothing, and one that is away is stood in for, on $name",
  async (runtime) => {
    await using sandbox = await createSandbox(runtime);
    const ca = await createTestCa();
    const secrets = join(sandbox.folder, "var/run/secrets");
    for (const name of ["istio", "tokens"]) await mkdir(join(secrets, name), { recursive: true });
    await writeFile(join(secrets, "istio/root-cert.pem"), ca.certPem);
    await writeFile(join(secrets, "tokens/istio-token"), "a.b.c");
    const server = await ca.issue({ dns: ["istiod.istio-system.svc"] });
    const port = sandbox.ports.controlPlane;
    await using agent = await sandbox.startProxy({
      proxyConfig: { binaryPath: FAKE_ENVOY },
      env: { CA_ADDR: "127.0.0.1:1", PILOTBOAT_LAST_GOOD: "true" },
    });
    await agent.waitFor(/Initializing with upstream address/);
    using client = connectAds(join(sandbox.folder, "etc/istio/proxy/XDS"));
    const boot = (): AdsStream => {
      const envoy = client.open("delta");
      envoy.request({ typeUrl: CDS, node: NODE, userAgent: "envoy" });
      envoy.request({ typeUrl: LDS });
      return envoy;
    };

    {
      await using istiod = await startFakeIstiod({ port, tls: server });
      const envoy = boot();
      await expect.poll(() => istiod.streams[0]?.requests.length).toBe(2);
      for (const typeUrl of [CDS, LDS]) {
        const resource = { typeUrl, value: encodeFields({ 1: "a" }) };
        istiod.streams[0]?.sendDelta({ typeUrl, nonce: typeUrl, resources: [{ name: "a", version: "7", resource }] });
      }
      await expect.poll(() => envoy.received.length).toBe(2);
      for (const typeUrl of [CDS, LDS]) envoy.request({ typeUrl, nonce: typeUrl });
      await expect.poll(() => istiod.streams[0]?.requests.length).toBe(4);
    }
    {
      await using _refusing = await startFakeIstiod({ port, tls: { ...server, clientCa: ca.certPem } });
      const envoy = boot();
      expect(await envoy.ended).toMatchObject({ code: 14, details: expect.stringMatching(/certificate.required/i) });
      expect(envoy.received).toEqual([]);
    }
    const envoy = boot();
    await expect.poll(() => envoy.received.length).toBe(2);
    expect(agent.stdout().split("Envoy gets the last configuration that it accepted")).toHaveLength(2);
  },
);
