import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Secret } from "../../src/base/index.ts";
import { serverNameOf } from "../../src/identity/tls/control-plane-tls.ts";
import { PATHS } from "../../src/istio/index.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { createTestCa } from "../support/test-ca.ts";
import { csr, never, startCaClient } from "./ca-rig.ts";
import { NO_CERTIFICATE, ODD_ROOT_FILES } from "./odd-pem.ts";

test.each([
  ["localhost:1234", "", "istiod.istio-system.svc"],
  ["my-localhost.example:1", "", "istiod.istio-system.svc"],
  ["istiod.istio-system.svc:15012", "", "istiod.istio-system.svc"],
  ["x:1", "y", "y"],
  ["1.2.3.4:15012", "", "1.2.3.4"],
  ["[2001:db8::1]:15012", "", "2001:db8::1"],
  ["no-port", "", "no-port"],
])("%s with override %j is verified as %s", (endpoint, override, name) => {
  expect(serverNameOf(endpoint, override)).toBe(name);
});

test("a server with another name is not trusted, with the override it is", async () => {
  await using rig = await startCaClient({ dns: ["other.example"] });
  await expect(rig.sign()).rejects.toThrow(/code = Unavailable desc = .*istiod\.istio-system\.svc/);
  await using named = await startCaClient({ dns: ["other.example"] }, { nameOverride: "other.example" });
  expect(await named.sign()).toHaveLength(2);
});

test("an IP address without override is verified against the certificate's addresses", async () => {
  await using rig = await startCaClient({ ips: ["127.0.0.1"], dns: [] }, {}, "127.0.0.1");
  expect(await rig.sign()).toHaveLength(2);
  await using wrong = await startCaClient({ ips: ["127.0.0.2"], dns: [] }, {}, "127.0.0.1");
  await expect(wrong.sign()).rejects.toThrow(/127\.0\.0\.1/);
});

test.each(["ISTIOD_SAN", "CA_ADDR"] as const)(
  "the names of a certificate for others are told, and %s as the remedy",
  async (nameSetting) => {
    await using rig = await startCaClient({ dns: ["one.example", "two.example"] }, { nameSetting }, "127.0.0.1");
    const names = `is for "one.example", "two.example"; set ${nameSetting} to one of its names`;
    await expect(rig.sign()).rejects.toThrow(
      new RegExp(`is not in the cert's list; the certificate of "127.0.0.1:\\d+" ${names}`),
    );
  },
);

test("a CA with a certificate of an unknown root is not given the token", async () => {
  await using rig = await startCaClient();
  await writeFile(join(rig.world.cwd, PATHS.controlPlaneRoot), (await createTestCa("stranger")).certPem);
  await expect(rig.sign()).rejects.toThrow(/code = Unavailable desc = .*certificate/);
  expect(rig.ca.requests).toHaveLength(0);
});

test("roots that are replaced on disk count from the next attempt on", async () => {
  await using rig = await startCaClient();
  const path = join(rig.world.cwd, PATHS.controlPlaneRoot);
  await writeFile(path, (await createTestCa("stranger")).certPem);
  rig.onWait = () => writeFile(path, rig.ca.tlsRootPem);
  expect(await rig.sign()).toHaveLength(2);
});

test.each(ODD_ROOT_FILES)("reality 5: a root file with %s is used for what it holds", async (_what, odd) => {
  await using rig = await startCaClient();
  await writeFile(join(rig.world.cwd, PATHS.controlPlaneRoot), odd(rig.ca.tlsRootPem));
  expect(await rig.sign()).toHaveLength(2);
});

test("reality 5: what is left out of a root file is logged once, with the file's name", async () => {
  await using rig = await startCaClient();
  const path = join(rig.world.cwd, PATHS.controlPlaneRoot);
  await writeFile(path, `${NO_CERTIFICATE}${rig.ca.tlsRootPem}`);
  await rig.sign();
  await rig.sign();
  const told = rig.world.lines.filter((line) => line.includes("failed to parse some certs from file"));
  expect(told).toHaveLength(1);
  expect(told[0]).toContain(path);
});

test("a root file without a certificate is named", async () => {
  await using rig = await startCaClient();
  await writeFile(join(rig.world.cwd, PATHS.controlPlaneRoot), "nothing");
  await expect(rig.sign()).rejects.toThrow(/failed to create TLS dial option: no certificate in ".*root-cert\.pem"/);
});

test("port 15010 means no TLS, and the token is sent all the same", async () => {
  const ca = await startFakeCa({ isPlaintext: true, port: 15_010 }).catch(() => undefined);
  if (ca === undefined) return; // somebody else has that port now
  await using _ca = ca;
  await using rig = await startCaClient({}, { endpoint: "127.0.0.1:15010" });
  await rig.sign();
  expect(ca.requests[0]?.metadata.get("authorization")).toEqual(["Bearer first"]);
  expect(rig.world.lines.join("")).toContain("Debug mode or IP-secure network");
});

test("our own certificate is presented, and read again for each connection", async () => {
  const clients = await createTestCa("client root");
  await using rig = await startCaClient({ clientCa: clients.certPem }, {}, "localhost", "prov");
  await expect(rig.sign()).rejects.toMatchObject({ code: "CA_UNREACHABLE" });
  expect(rig.world.lines.join("")).toContain("cannot parse the cert chain, using token instead");
  const { certPem, keyPem } = await clients.issue({ dns: ["us"] });
  await rig.world.write("prov/cert-chain.pem", certPem);
  await rig.world.write("prov/key.pem", keyPem);
  expect(await rig.sign()).toHaveLength(2);
  expect(rig.ca.requests[0]?.clientCertificate).toBe("leaf");
});

test("our certificate is left out while its key is another one's", async () => {
  const clients = await createTestCa("client root");
  await using rig = await startCaClient({}, {}, "localhost", "prov");
  await rig.world.write("prov/cert-chain.pem", (await clients.issue({ dns: ["us"] })).certPem);
  await rig.world.write("prov/key.pem", (await clients.issue({ dns: ["us"] })).keyPem);
  expect(await rig.sign()).toHaveLength(2);
  expect(rig.world.lines.join("")).toContain("cannot parse the cert chain, using token instead");
});

test("an expired certificate of our own is left out, the token does", async () => {
  const clients = await createTestCa("client root");
  await using rig = await startCaClient({}, {}, "localhost", "prov");
  const { certPem, keyPem } = await clients.issue({ dns: ["us"], notAfter: new Date(Date.now() - 1_000) });
  await rig.world.write("prov/cert-chain.pem", certPem);
  await rig.world.write("prov/key.pem", keyPem);
  expect(await rig.sign()).toHaveLength(2);
  expect(rig.world.lines.join("")).toContain("cert expired, using token instead");
});

test("a CA behind a proxy is reached by its name, the one of loopback without the proxy", async () => {
  await using rig = await startCaClient({ dns: ["ca.test", "istiod.istio-system.svc"] }, { endpoint: "ca.test:15012" });
  await using proxy = await startConnectProxy({ "ca.test:15012": rig.ca.port });
  const through = { address: proxy.address, credentials: new Secret("me:pw"), except: [] };
  expect(await rig.clientWith({ proxy: through }).sign(await csr(), never)).toHaveLength(2);
  const authorization = `Basic ${Buffer.from("me:pw").toString("base64")}`;
  expect(proxy.asked).toEqual([{ target: "ca.test:15012", authorization }]);
  const local = rig.clientWith({ proxy: through, endpoint: `localhost:${rig.ca.port}` });
  expect(await local.sign(await csr(), never)).toHaveLength(2);
  expect(proxy.asked).toHaveLength(1);
});

test("without TLS a CA behind a proxy is reached as well", async () => {
  await using rig = await startCaClient({ isPlaintext: true }, { endpoint: "ca.test:15010" });
  await using proxy = await startConnectProxy({ "ca.test:15010": rig.ca.port });
  const through = { address: proxy.address, credentials: undefined, except: [] };
  expect(await rig.clientWith({ proxy: through }).sign(await csr(), never)).toHaveLength(2);
});

test("a proxy that refuses is a reason with its name", async () => {
  await using proxy = await startConnectProxy({});
  const through = { address: proxy.address, credentials: undefined, except: [] };
  await using rig = await startCaClient({}, { endpoint: "ca.test:15012", proxy: through });
  const reason = `proxy "${proxy.address}" answered "HTTP/1.1 502 Bad Gateway" to CONNECT ca.test:15012`;
  await expect(rig.sign()).rejects.toMatchObject({
    code: "CA_UNREACHABLE",
    message: expect.stringContaining(reason),
  });
});
