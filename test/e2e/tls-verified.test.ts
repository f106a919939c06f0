import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { connectAds } from "../support/ads-client.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";

const NAME = "istiod.istio-system.svc";
const CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

describe.each(runtimes())("NODE_TLS_REJECT_UNAUTHORIZED=0 and roots for others on $name", (runtime) => {
  test("reality 3: change nothing where root and name are right", async () => {
    const seen = await meetControlPlane(runtime, { root: "right", name: NAME });
    expect(seen).toMatchObject({ certificates: 1, streams: 1 });
  });

  test.each([
    { root: "wrong", name: NAME, why: /self.signed|unable to verify|certificate/i },
    { root: "right", name: "other.example", why: /does not match certificate's altnames/ },
  ] as const)("reality 3: CA and istiod with a $root root and the name $name are refused", async ({ why, ...how }) => {
    const seen = await meetControlPlane(runtime, how);
    expect(seen).toMatchObject({ certificates: 0, streams: 0 });
    expect(seen.ending).toMatch(why);
    expect(seen.log).toMatch(why);
  });

  test("reality 3: a redirect to a server that nobody vouches for is not followed", async () => {
    const { certPem, keyPem } = await (await createTestCa("stranger")).issue({
      dns: ["localhost"],
      ips: ["127.0.0.1"],
    });
    const secure = createHttps({ cert: certPem, key: keyPem }, (_request, response) => response.end("taken in"));
    const location = `https://localhost:${await listening(secure)}/`;
    const plain = createHttp((_request, response) => void response.writeHead(302, { location }).end());
    const port = await listening(plain);
    const env = { ...FOREIGN, PROXY_CONFIG: JSON.stringify({ proxyAdminPort: port }) };
    const { code, stdout, stderr } = await run(runtime, ["request", "GET", "x", "--debug-port", String(port)], { env });
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/certificate/);
  });
});

const FOREIGN = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };

/** An agent without Envoy meets a CA and an istiod; Envoy's part on the xDS socket is played by the test. */
async function meetControlPlane(runtime: Runtime, { root, name }: { readonly root: string; readonly name: string }) {
  const tlsCa = await createTestCa();
  await using ca = await startFakeCa({ tlsCa, dns: [name] });
  await using istiod = await startFakeIstiod({ tls: await tlsCa.issue({ dns: [name] }) });
  const folder = await mkdtemp(join(tmpdir(), "pb-tls-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const trusted = root === "right" ? tlsCa : await createTestCa("stranger");
  await mkdir(dirname(join(folder, ROOT)), { recursive: true });
  await writeFile(join(folder, ROOT), trusted.certPem);
  await writeFile(join(folder, "true-root.pem"), tlsCa.certPem);
  const [statusPort] = await freePorts(1);
  const env = {
    ...FOREIGN,
    NODE_EXTRA_CA_CERTS: join(folder, "true-root.pem"), // an application may trust them; the agent has its own
    SSL_CERT_FILE: join(folder, "true-root.pem"),
    PROXY_CONFIG: JSON.stringify({ discoveryAddress: `localhost:${istiod.port}`, statusPort }),
    CA_ADDR: `localhost:${ca.port}`,
    OUTPUT_CERTS: "certs",
    DISABLE_ENVOY: "true",
    INSTANCE_IP: "127.0.0.1",
  };
  await mkdir(join(folder, "certs"));
  await using agent = start(runtime, ["proxy", "sidecar"], { cwd: folder, env });
  await expect
    .poll(() =>
      access(join(folder, SOCKET)).then(
        () => true,
        () => false,
      ),
    )
    .toBe(true);
  using envoy = connectAds(join(folder, SOCKET));
  const stream = envoy.open("delta");
  stream.request({ typeUrl: CDS });
  const isAccepted = root === "right" && name === NAME;
  if (isAccepted) await expect.poll(() => [istiod.streams.length, ca.requests.length]).toEqual([1, 1]);
  const ending = isAccepted ? "" : (await stream.ended).details;
  if (!isAccepted) await agent.waitFor(/ca request failed/);
  const log = `${agent.stdout()}${agent.stderr()}`;
  return { certificates: ca.requests.length, streams: istiod.streams.length, ending, log };
}

const SOCKET = "etc/istio/proxy/XDS";
const ROOT = "var/run/secrets/istio/root-cert.pem";

async function listening(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}
