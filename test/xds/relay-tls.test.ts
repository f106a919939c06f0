import { expect, test } from "vitest";
import { Secret } from "../../src/base/index.ts";
import type { UpstreamTls } from "../../src/xds/types.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { createTestCa } from "../support/test-ca.ts";
import { CDS, startRig } from "./relay-rig.ts";

const ISTIOD = "istiod.istio-system.svc";

function over(tls: () => UpstreamTls) {
  return { tls: async () => tls(), metadata: async (): Promise<[string, string][]> => [] };
}

test("the server's name is verified and becomes the authority, whatever the address", async () => {
  const ca = await createTestCa();
  await using istiod = await startFakeIstiod({ tls: await ca.issue({ dns: [ISTIOD] }) });
  let serverName = ISTIOD;
  const credentials = over(() => ({ roots: Buffer.from(ca.certPem), serverName }));
  await using rig = await startRig(istiod.port, { upstream: { credentials } });
  const client = rig.connect();
  client.open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams[0]?.authority).toBe(ISTIOD);
  serverName = "foo";
  const second = client.open("delta");
  second.request({ typeUrl: CDS });
  const refused = await second.ended;
  expect(refused.code).toBe(14);
  expect(rig.relay.trouble()?.text).toMatch(/UNAVAILABLE: .*Hostname\/IP does not match certificate's altnames: .*foo/);
});

test("roots are read anew for each stream; an open stream stays", async () => {
  const [oldCa, newCa] = [await createTestCa("old"), await createTestCa("new")];
  await using istiod = await startFakeIstiod({ tls: await newCa.issue({ dns: [ISTIOD] }) });
  let ca = oldCa;
  const credentials = over(() => ({ roots: Buffer.from(ca.certPem), serverName: ISTIOD }));
  await using rig = await startRig(istiod.port, { upstream: { credentials } });
  const client = rig.connect();
  expect((await client.open("delta").ended).code).toBe(14);
  ca = newCa;
  const envoy = client.open("delta");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  ca = oldCa;
  istiod.streams[0]?.sendDelta({ typeUrl: CDS, nonce: "1" });
  await expect.poll(() => envoy.received.length).toBe(1);
});

test("a client certificate is shown when there is one", async () => {
  const ca = await createTestCa();
  const mine = await ca.issue({ dns: ["client.example"] });
  const tls = { ...(await ca.issue({ dns: [ISTIOD] })), clientCa: ca.certPem };
  await using istiod = await startFakeIstiod({ tls });
  let isShown = true;
  const credentials = over(() => ({
    roots: Buffer.from(ca.certPem),
    serverName: ISTIOD,
    ...(isShown && { clientCertificate: { certChain: Buffer.from(mine.certPem), key: new Secret(mine.keyPem) } }),
  }));
  await using rig = await startRig(istiod.port, { upstream: { credentials } });
  const client = rig.connect();
  client.open("sotw").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams[0]?.clientCertificate).toBe("DNS:client.example");
  isShown = false;
  const second = client.open("sotw");
  second.request({ typeUrl: CDS });
  expect((await second.ended).code).toBe(14);
  expect(rig.relay.trouble()?.text).toMatch(/certificate.required|handshake|socket/i);
});

test("a control plane behind a proxy is reached by its name, and verified by it", async () => {
  const ca = await createTestCa();
  await using istiod = await startFakeIstiod({ tls: await ca.issue({ dns: ["istiod.test"] }) });
  await using proxy = await startConnectProxy({ "istiod.test:15012": istiod.port });
  const credentials = over(() => ({ roots: Buffer.from(ca.certPem), serverName: "istiod.test" }));
  const through = { address: proxy.address, credentials: undefined, except: [] };
  await using rig = await startRig(0, { upstream: { address: "istiod.test:15012", credentials, proxy: through } });
  rig.connect().open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams[0]?.authority).toBe("istiod.test");
  expect(proxy.asked).toEqual([{ target: "istiod.test:15012", authorization: undefined }]);
});

test("a control plane without TLS is told apart from one that is away", async () => {
  const ca = await createTestCa();
  await using istiod = await startFakeIstiod();
  const credentials = over(() => ({ roots: Buffer.from(ca.certPem), serverName: ISTIOD }));
  await using rig = await startRig(istiod.port, { upstream: { credentials } });
  const status = await rig.connect().open("delta").ended;
  expect(status).toMatchObject({ code: 14, details: "the server does not speak TLS" });
});

test("an address by IP is verified as such, without a warning of the runtime", async () => {
  const warnings: string[] = [];
  const note = (warning: Error): void => void warnings.push(warning.message);
  process.on("warning", note);
  const ca = await createTestCa();
  await using istiod = await startFakeIstiod({ tls: await ca.issue({ ips: ["127.0.0.1"] }) });
  await using wrong = await startFakeIstiod({ tls: await ca.issue({ ips: ["127.0.0.2"] }) });
  const credentials = over(() => ({ roots: Buffer.from(ca.certPem), serverName: "" }));
  await using rig = await startRig(istiod.port, { upstream: { credentials } });
  rig.connect().open("delta").request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(1);
  await using refused = await startRig(wrong.port, { upstream: { credentials } });
  expect((await refused.connect().open("delta").ended).details).toContain("does not match certificate's altnames");
  process.off("warning", note);
  expect(warnings).toEqual([]);
});

test("a control plane whose certificate has expired is refused for that reason", async () => {
  const ca = await createTestCa();
  const tls = await ca.issue({ dns: [ISTIOD], notAfter: new Date(Date.now() - 1_000) });
  await using istiod = await startFakeIstiod({ tls });
  const credentials = over(() => ({ roots: Buffer.from(ca.certPem), serverName: ISTIOD }));
  await using rig = await startRig(istiod.port, { upstream: { credentials } });
  expect((await rig.connect().open("delta").ended).details).toBe("certificate has expired");
});
