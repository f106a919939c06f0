import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { type Clock, freePorts, Secret } from "../../src/base/index.ts";
import { type CaClientOptions, createCaClient } from "../../src/identity/ca/ca-client.ts";
import { createCsr } from "../../src/identity/ca/csr.ts";
import { issueCertificate } from "../../src/identity/ca/issue.ts";
import { serverNameOf } from "../../src/identity/control-plane-tls.ts";
import { keySpec, startKeyGeneration, WELL_KNOWN } from "../../src/identity/index.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { createSigner, type FakeCaOptions, startFakeCa } from "../support/fake-ca.ts";
import { createTestCa } from "../support/test-ca.ts";
import { createWorld } from "./world.ts";

const SPEC = keySpec({ rsaKeySize: 2048, eccAlgorithm: "ECDSA", eccCurve: "P256", isPkcs8: false });
const never = new AbortController().signal;

test("what the CA answers comes back unchanged", async () => {
  await using rig = await start();
  rig.ca.behaviour = { kind: "answer", chain: ["foo", "bar"] };
  expect(await rig.sign()).toEqual(["foo", "bar"]);
});

test.each([{ kind: "answer", chain: [] } as const, { kind: "leafOnly" } as const])(
  "an answer without a root is refused: $kind",
  async (behaviour) => {
    await using rig = await start();
    rig.ca.behaviour = behaviour;
    await expect(rig.sign()).rejects.toThrow("invalid empty CertChain");
    expect(rig.ca.requests).toHaveLength(1);
  },
);

test("extra headers and an unset signer are sent", async () => {
  await using rig = await start(
    {},
    {
      headers: [
        ["FOO", "foo"],
        ["BAZ", "=baz"],
      ],
      certSigner: "",
    },
  );
  await rig.sign();
  expect(rig.ca.requests[0]?.metadata.getMap()).toMatchObject({ foo: "foo", baz: "=baz", clusterid: "c" });
  expect(rig.ca.requests[0]?.message.metadata).toEqual({ CertSigner: "" });
});

test.each([
  ["", "x"],
  ["A B", "x"],
  ["A", "x\ny"],
  ["Connection", "close"],
  [":path", "/x"],
])("a header %j that cannot be sent is left out, naming its variable, and the CA is asked", async (name, value) => {
  const more = [
    ["Trace-bin", Buffer.from("bytes").toString("base64")],
    ["FOO", "foo"],
  ] as const;
  await using rig = await start({}, { headers: [[name, value], ...more] });
  await rig.sign();
  expect(rig.ca.requests[0]?.metadata.getMap()).toMatchObject({ foo: "foo", "trace-bin": Buffer.from("bytes") });
  expect(rig.world.lines.join("")).toContain(`not a valid header\tvariable=CA_HEADER_${name} `);
});

test.each([status.RESOURCE_EXHAUSTED, status.ABORTED, status.INTERNAL, status.UNAVAILABLE, status.DEADLINE_EXCEEDED])(
  "status %d is tried five times, with growing waits, and counts as passing",
  async (code) => {
    await using rig = await start();
    rig.ca.behaviour = { kind: "status", code, details: "later" };
    await expect(rig.sign()).rejects.toMatchObject({
      code: "CA_UNREACHABLE",
      message: expect.stringContaining("later"),
    });
    expect(rig.ca.requests).toHaveLength(5);
    const total = rig.waits.reduce((sum, wait) => sum + wait, 0);
    expect(total).toBeGreaterThanOrEqual(1_300);
    expect(total).toBeLessThanOrEqual(1_700);
    expect(rig.world.metrics.render()).toContain('istio_agent_num_outgoing_retries{request_type="csr"} 4');
    expect(rig.world.lines.join("")).toMatch(/ca request failed, starting attempt 2 in \d+ms/);
  },
);

test.each([
  [status.UNAUTHENTICATED, "Unauthenticated"],
  [status.PERMISSION_DENIED, "PermissionDenied"],
  [status.INVALID_ARGUMENT, "InvalidArgument"],
  [status.UNKNOWN, "Unknown"],
  [status.CANCELLED, "Canceled"],
  [status.NOT_FOUND, "NotFound"],
  [status.ALREADY_EXISTS, "AlreadyExists"],
  [status.FAILED_PRECONDITION, "FailedPrecondition"],
  [status.OUT_OF_RANGE, "OutOfRange"],
  [status.UNIMPLEMENTED, "Unimplemented"],
  [status.DATA_LOSS, "DataLoss"],
])("status %d is a refusal, not tried again", async (code, name) => {
  await using rig = await start();
  rig.ca.behaviour = { kind: "status", code, details: "test failure" };
  await expect(rig.sign()).rejects.toMatchObject({
    code: "CA_REFUSED",
    message: `create certificate: rpc error: code = ${name} desc = test failure`,
  });
  expect(rig.ca.requests).toHaveLength(1);
  expect(rig.world.metrics.render()).toContain('istio_agent_num_failed_outgoing_requests{request_type="csr"} 1');
});

test("a refusal carries what is wrong with our own token", async () => {
  await using rig = await start();
  await rig.world.write(WELL_KNOWN.token, "");
  rig.ca.behaviour = { kind: "status", code: status.UNAUTHENTICATED, details: "request authenticate failure" };
  await expect(rig.sign()).rejects.toThrow("request authenticate failure; the token is empty");
  expect(rig.ca.requests[0]?.metadata.get("authorization")).toEqual([]);
});

test("a token that is replaced between two attempts is used by the second", async () => {
  await using rig = await start();
  rig.ca.behaviour = { kind: "status", code: status.UNAVAILABLE, details: "x" };
  rig.onWait = () => rig.world.write(WELL_KNOWN.token, "second");
  await expect(rig.sign()).rejects.toThrow();
  const sent = rig.ca.requests.map(({ metadata }) => metadata.get("authorization")[0]);
  expect(sent.slice(0, 2)).toEqual(["Bearer first", "Bearer second"]);
});

test("a CA behind a proxy is reached by its name, the one of loopback without the proxy", async () => {
  await using rig = await start({ dns: ["ca.test", "istiod.istio-system.svc"] }, { endpoint: "ca.test:15012" });
  await using proxy = await startConnectProxy({ "ca.test:15012": rig.ca.port });
  const through = { address: proxy.address, credentials: new Secret("me:pw"), except: [] };
  expect(await rig.clientWith({ proxy: through }).sign(await csr(), never)).toHaveLength(2);
  const authorization = `Basic ${Buffer.from("me:pw").toString("base64")}`;
  expect(proxy.asked).toEqual([{ target: "ca.test:15012", authorization }]);
  const local = rig.clientWith({ proxy: through, endpoint: `localhost:${rig.ca.port}` });
  expect(await local.sign(await csr(), never)).toHaveLength(2);
  expect(proxy.asked).toHaveLength(1);
});

test("a proxy that refuses is a reason with its name", async () => {
  await using proxy = await startConnectProxy({});
  const through = { address: proxy.address, credentials: undefined, except: [] };
  await using rig = await start({}, { endpoint: "ca.test:15012", proxy: through });
  await expect(rig.sign()).rejects.toMatchObject({ code: "CA_UNREACHABLE", message: /proxy/ });
});

test("a CA that accepts and says nothing is given up at the deadline, and tried again", async () => {
  await using rig = await start({}, { attemptMs: 150 });
  rig.ca.behaviour = { kind: "silent" };
  rig.onWait = () => {
    rig.ca.behaviour = { kind: "sign" };
  };
  expect(await rig.sign()).toHaveLength(2);
  expect(rig.ca.requests).toHaveLength(2);
});

test("a listener that never completes the handshake is given up at the deadline", async () => {
  const silent = createServer(() => undefined);
  const port = await new Promise<number>((resolve) =>
    silent.listen(0, "127.0.0.1", () => resolve((silent.address() as { port: number }).port)),
  );
  await using rig = await start({}, { attemptMs: 100, endpoint: `localhost:${port}` });
  await expect(rig.sign()).rejects.toMatchObject({ code: "CA_UNREACHABLE" });
  silent.close();
});

test("a CA that breaks the connection after the request is tried again", async () => {
  await using rig = await start();
  rig.ca.behaviour = { kind: "break" };
  rig.onWait = () => {
    rig.ca.behaviour = { kind: "sign" };
  };
  expect(await rig.sign()).toHaveLength(2);
});

test("a refused connection names the address and the reason", async () => {
  const [port] = await freePorts(1);
  await using rig = await start({}, { endpoint: `localhost:${port}` });
  await expect(rig.sign()).rejects.toThrow(
    /code = Unavailable desc = .*ECONNREFUSED.*127\.0\.0\.1|code = Unavailable desc = .*ECONNREFUSED/,
  );
});

test("a name that does not resolve is said to be one", async () => {
  await using rig = await start({}, { endpoint: "no-such-host.invalid:15012" });
  await expect(rig.sign()).rejects.toThrow(/Name resolution failed|ENOTFOUND|EAI_AGAIN/);
});

test("garbage for an answer is an error with its reason", async () => {
  await using rig = await start();
  rig.ca.behaviour = { kind: "garbage" };
  await expect(rig.sign()).rejects.toThrow(/create certificate: rpc error/);
});

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
  await using rig = await start({ dns: ["other.example"] });
  await expect(rig.sign()).rejects.toThrow(/code = Unavailable desc = .*istiod\.istio-system\.svc/);
  await using named = await start({ dns: ["other.example"] }, { nameOverride: "other.example" });
  expect(await named.sign()).toHaveLength(2);
});

test("an IP address without override is verified against the certificate's addresses", async () => {
  await using rig = await start({ ips: ["127.0.0.1"], dns: [] }, {}, "127.0.0.1");
  expect(await rig.sign()).toHaveLength(2);
  await using wrong = await start({ ips: ["127.0.0.2"], dns: [] }, {}, "127.0.0.1");
  await expect(wrong.sign()).rejects.toThrow(/127\.0\.0\.1/);
});

test("a CA with a certificate of an unknown root is not given the token", async () => {
  await using rig = await start();
  await writeFile(join(rig.world.cwd, WELL_KNOWN.controlPlaneRoot), (await createTestCa("stranger")).certPem);
  await expect(rig.sign()).rejects.toThrow(/code = Unavailable desc = .*certificate/);
  expect(rig.ca.requests).toHaveLength(0);
});

test("roots that are replaced on disk count from the next attempt on", async () => {
  await using rig = await start();
  const path = join(rig.world.cwd, WELL_KNOWN.controlPlaneRoot);
  await writeFile(path, (await createTestCa("stranger")).certPem);
  rig.onWait = () => writeFile(path, rig.ca.tlsRootPem);
  expect(await rig.sign()).toHaveLength(2);
});

test("a root file without a certificate is named", async () => {
  await using rig = await start();
  await writeFile(join(rig.world.cwd, WELL_KNOWN.controlPlaneRoot), "nothing");
  await expect(rig.sign()).rejects.toThrow(/failed to create TLS dial option: no certificate in ".*root-cert\.pem"/);
});

test("port 15010 means no TLS, and the token is sent all the same", async () => {
  const ca = await startFakeCa({ isPlaintext: true, port: 15_010 }).catch(() => undefined);
  if (ca === undefined) return; // somebody else has that port now
  await using _ca = ca;
  await using rig = await start({}, { endpoint: "127.0.0.1:15010" });
  await rig.sign();
  expect(ca.requests[0]?.metadata.get("authorization")).toEqual(["Bearer first"]);
  expect(rig.world.lines.join("")).toContain("Debug mode or IP-secure network");
});

test("our own certificate is presented, and read again for each connection", async () => {
  const clients = await createTestCa("client root");
  await using rig = await start({ clientCa: clients.certPem }, {}, "localhost", "prov");
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
  await using rig = await start({}, {}, "localhost", "prov");
  await rig.world.write("prov/cert-chain.pem", (await clients.issue({ dns: ["us"] })).certPem);
  await rig.world.write("prov/key.pem", (await clients.issue({ dns: ["us"] })).keyPem);
  expect(await rig.sign()).toHaveLength(2);
  expect(rig.world.lines.join("")).toContain("cannot parse the cert chain, using token instead");
});

test("an expired certificate of our own is left out, the token does", async () => {
  const clients = await createTestCa("client root");
  await using rig = await start({}, {}, "localhost", "prov");
  const { certPem, keyPem } = await clients.issue({ dns: ["us"], notAfter: new Date(Date.now() - 1_000) });
  await rig.world.write("prov/cert-chain.pem", certPem);
  await rig.world.write("prov/key.pem", keyPem);
  expect(await rig.sign()).toHaveLength(2);
  expect(rig.world.lines.join("")).toContain("cert expired, using token instead");
});

test.each([
  ["of another key", { kind: "sign", foreignKey: true }, /belongs to another key/],
  [
    "that has ended",
    { kind: "sign", notBefore: new Date(Date.now() - 7_200_000), lifeMs: -3_600_000 },
    /it ended at .*, our clock says/,
  ],
  [
    "that is none",
    { kind: "answer", chain: ["leaf?", "root?"] },
    /failed to extract expire time from server certificate/,
  ],
] as const)("a certificate %s is refused", async (_case, behaviour, message) => {
  await using rig = await start();
  rig.ca.behaviour = behaviour;
  await expect(rig.issue()).rejects.toThrow(message);
  await expect(rig.issue()).rejects.toMatchObject({ code: "CA_ANSWER_INVALID" });
});

test("a chain of leaf, intermediate and root is kept whole, the root is its last element", async () => {
  await using rig = await start();
  const keys = await startKeyGeneration(SPEC).next();
  const [signer, other] = [await createSigner("intermediate"), await createSigner("root")];
  const leaf = await signer.sign(createCsr(keys.key, "spiffe://td/ns/a/sa/b"));
  rig.ca.behaviour = { kind: "answer", chain: [leaf.trimEnd(), signer.rootPem, other.rootPem] };
  const issued = await issueCertificate(
    { ca: rig.client, keys: { next: async () => keys }, identity: "spiffe://td/ns/a/sa/b", now: Date.now },
    never,
  );
  expect(issued.root).toBe(other.rootPem);
  expect(issued.certChain).toBe(`${leaf.trimEnd()}\n${signer.rootPem.trimEnd()}\n${other.rootPem}`);
});

test("a stop ends the attempt that is under way", async () => {
  await using rig = await start();
  rig.ca.behaviour = { kind: "silent" };
  const stop = new AbortController();
  const signing = rig.client.sign(await csr(), stop.signal);
  await expect.poll(() => rig.ca.requests.length).toBe(1);
  stop.abort(new Error("enough"));
  await expect(signing).rejects.toThrow("enough");
});

async function start(
  caOptions: FakeCaOptions = {},
  options: Partial<CaClientOptions> = {},
  host = "localhost",
  provCert?: string,
) {
  const ca = await startFakeCa(caOptions);
  const world = await createWorld();
  await world.write(WELL_KNOWN.controlPlaneRoot, ca.tlsRootPem);
  await world.write(WELL_KNOWN.token, "first");
  const waits: number[] = [];
  const rig = { ca, world, waits, onWait: (): unknown => undefined };
  const clock: Clock = {
    now: () => Date.now(),
    async sleep(ms) {
      waits.push(ms);
      await rig.onWait();
    },
  };
  const folder = provCert === undefined ? undefined : join(world.cwd, provCert);
  const clientWith = (more: Partial<CaClientOptions>) =>
    createCaClient(
      {
        endpoint: `${host}:${ca.port}`,
        roots: { kind: "file", path: join(world.cwd, WELL_KNOWN.controlPlaneRoot) },
        nameOverride: "",
        clientFiles:
          folder === undefined
            ? undefined
            : { certChain: join(folder, "cert-chain.pem"), key: join(folder, "key.pem") },
        compliance: "",
        tokens: world.tokens(),
        tokenFile: undefined,
        clusterId: "c",
        certSigner: "signer",
        headers: [],
        ttlSeconds: 60,
        ...options,
        ...more,
      },
      { log: world.log, metrics: world.metrics, clock },
    );
  const client = clientWith({});
  return Object.assign(rig, {
    client,
    clientWith,
    sign: async () => client.sign(await csr(), never),
    issue: () =>
      issueCertificate({ ca: client, keys: startKeyGeneration(SPEC), identity: "spiffe://a", now: Date.now }, never),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await ca[Symbol.asyncDispose]();
    },
  });
}

async function csr(): Promise<string> {
  return createCsr((await startKeyGeneration(SPEC).next()).key, "spiffe://td/ns/a/sa/b");
}
