import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { connectAds } from "../support/ads-client.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";

const CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ROOT = "var/run/secrets/istio/root-cert.pem";

describe.each(runtimes())("a proxy that HTTPS_PROXY names, on $name", (runtime) => {
  // names that nobody but the proxy knows; the first one a name of the proxy's own, too
  test.each([
    ["https://localhost:PORT", undefined],
    ["https://someone:p%40ss@127.0.0.1:PORT/", "someone:p@ss"],
    ["localhost.:PORT", undefined],
  ])("reality 8: CA and istiod are reached by CONNECT in the clear with %s", async (value, credentials) => {
    const tlsCa = await createTestCa();
    await using ca = await startFakeCa({ tlsCa, dns: ["ca.test"] });
    await using istiod = await startFakeIstiod({ tls: await tlsCa.issue({ dns: ["istiod.test"] }) });
    await using proxy = await startConnectProxy({ "ca.test:15012": ca.port, "istiod.test:15012": istiod.port });
    const folder = await mkdtemp(join(tmpdir(), "pb-egress-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await mkdir(dirname(join(folder, ROOT)), { recursive: true });
    await writeFile(join(folder, ROOT), tlsCa.certPem);
    const [statusPort] = await freePorts(1);
    await using agent = start(runtime, ["proxy", "sidecar"], {
      cwd: folder,
      env: {
        PROXY_CONFIG: JSON.stringify({ statusPort, discoveryAddress: "istiod.test:15012" }),
        HTTPS_PROXY: value.replace("PORT", proxy.address.replace(/.*:/, "")),
        ...{ CA_ADDR: "ca.test:15012", DISABLE_ENVOY: "true", OUTPUT_CERTS: ".", INSTANCE_IP: "127.0.0.1" },
      },
    });
    await expect.poll(() => ca.requests.length).toBe(1);
    await agent.waitFor(/Initializing with upstream address/);
    using envoy = connectAds(join(folder, "etc/istio/proxy/XDS"));
    envoy.open("delta").request({ typeUrl: CDS });
    await expect.poll(() => istiod.streams.length).toBe(1);
    const targets = new Set(proxy.asked.map(({ target }) => target));
    expect(targets).toEqual(new Set(["ca.test:15012", "istiod.test:15012"]));
    const wanted = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString("base64")}`;
    expect(proxy.asked.map(({ authorization }) => authorization)).toEqual(proxy.asked.map(() => wanted));
    expect(`${agent.stdout()}${agent.stderr()}`).not.toContain("p@ss");
  });
});
