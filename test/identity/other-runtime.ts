// The whole road of a secret on whatever runtime runs this file: prints one JSON line of facts.
import { X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { bindUnix } from "../../src/base/index.ts";
import { serveSds } from "../../src/identity/index.ts";
import { keySpec, startKeyGeneration } from "../../src/identity/prepare/index.ts";
import { readKeyPair } from "../../src/identity/tls/key-pair.ts";
import { PATHS } from "../../src/istio/index.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { connectSds, secretsOf } from "../support/sds-client.ts";
import { createTestCa } from "../support/test-ca.ts";
import { makeOddPairs } from "./odd-keys.ts";
import { ODD_ROOT_FILES } from "./odd-pem.ts";
import { createWorld } from "./world.ts";

async function main(): Promise<void> {
  const turns = await turnsWhileMakingAKey();
  const clients = await createTestCa("client root");
  await using ca = await startFakeCa({ dns: [], ips: ["127.0.0.1"], clientCa: clients.certPem });
  await using world = await createWorld();
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  await world.write(PATHS.token, "a.token");
  const { certPem, keyPem } = await clients.issue({ dns: ["us"] });
  const clientFiles = {
    certChain: await world.write("prov/cert-chain.pem", certPem),
    key: await world.write("prov/key.pem", keyPem),
  };
  await using socket = await bindUnix(join(world.cwd, "s"));
  await using client = connectSds(socket.address);
  const early = client.open();
  early.ask("default", "ROOTCA");
  await new Promise((resolve) => setTimeout(resolve, 50)); // so that bytes wait in the socket before anyone serves
  const secrets = await world.secrets(`127.0.0.1:${ca.port}`, { ca: { clientFiles } });
  await using _sds = await serveSds({ socket, secrets, log: world.log, metrics: world.metrics });
  const [secret] = secretsOf(await early.response(0));
  const chain = secret?.type.case === "tlsCertificate" ? secret.type.value.certificateChain?.specifier.value : "";
  const streams = Array.from({ length: 100 }, () => client.open());
  for (const stream of streams) stream.ask("default");
  await Promise.all(streams.map((stream) => stream.response(0)));
  const file = await world.write("root", clients.certPem);
  const root = client.open();
  root.ask(`file-root:${file}`);
  await root.response(0);
  await writeFile(file, ca.tlsRootPem);
  await root.response(1);
  const facts = {
    pqc: await pqc(),
    proxied: await proxied(),
    turns,
    requests: ca.requests.length,
    clientCertificate: ca.requests[0]?.clientCertificate ?? "none",
    subjectAltName: new X509Certificate(chain as Uint8Array).subjectAltName,
    streams: streams.length,
    oddRoots: await oddRoots(),
    oddPairs: await oddPairs(),
    unknown: (await unknown(client)).code,
    strangers: await Promise.all([
      refusal({ hasOtherRoot: true }),
      refusal({ ips: ["127.0.0.2"] }),
      refusal({ dns: ["x"] }),
    ]),
  };
  console.log(JSON.stringify(facts));
}

/** The root files with which this runtime gets no certificate, and why. */
async function oddRoots(): Promise<readonly string[]> {
  await using ca = await startFakeCa();
  const failures: string[] = [];
  for (const [what, odd] of ODD_ROOT_FILES) {
    await using world = await createWorld();
    await world.write(PATHS.controlPlaneRoot, odd(ca.tlsRootPem));
    const secrets = await world.secrets(`localhost:${ca.port}`);
    await secrets.get("default").catch((error: Error) => failures.push(`${what}: ${error.message}`));
  }
  return failures;
}

/** The pairs of which this runtime thinks otherwise than the table. */
async function oddPairs(): Promise<readonly string[]> {
  await using world = await createWorld();
  const wrong: string[] = [];
  for (const { what, certificate, key, refused = "used" } of makeOddPairs()) {
    const files = { certChain: await world.write("c", certificate), key: await world.write("k", key) };
    const ending = await readKeyPair(files).then(
      (pair) => createSecureContext({ cert: pair.certChain, key: pair.key.reveal() }) && "used",
      (error: Error) => error.message,
    );
    if (!ending.includes(refused)) wrong.push(`${what}: ${ending}`);
  }
  return wrong;
}

async function unknown(client: ReturnType<typeof connectSds>) {
  const stream = client.open();
  stream.ask("nothing");
  return stream.ended;
}

/** What a CA is told that must not be trusted; it must not see a request. */
async function refusal(how: { hasOtherRoot?: boolean; ips?: string[]; dns?: string[] }): Promise<string> {
  await using ca = await startFakeCa({ dns: how.dns ?? [], ips: how.ips ?? ["127.0.0.1"] });
  await using world = await createWorld();
  const root = how.hasOtherRoot === true ? (await createTestCa("stranger")).certPem : ca.tlsRootPem;
  await world.write(PATHS.controlPlaneRoot, root);
  const secrets = await world.secrets(`${how.dns === undefined ? "127.0.0.1" : "localhost"}:${ca.port}`);
  const failure = await secrets.get("default").then(
    () => "trusted",
    (error: Error) => error.message,
  );
  if (ca.requests.length > 0) return "saw a request";
  return /certificate/.test(failure.replace("create certificate", "")) ? "refused" : failure;
}

/** A certificate from a CA that only a proxy knows the way to, and where the proxy was asked to connect to. */
async function proxied(): Promise<readonly string[]> {
  await using ca = await startFakeCa({ dns: ["ca.test"] });
  await using proxy = await startConnectProxy({ "ca.test:15012": ca.port });
  await using world = await createWorld();
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  const through = { address: proxy.address, credentials: undefined, except: ["10.0.0.0/8"] };
  const secrets = await world.secrets("ca.test:15012", { ca: { proxy: through } });
  const got = await secrets.get("default").then(
    ({ kind }) => kind,
    (error: Error) => error.message,
  );
  return [got, ...proxy.asked.map(({ target }) => target)];
}

/** A certificate over TLS with the post-quantum group alone, or why there is none. */
async function pqc(): Promise<string> {
  await using ca = await startFakeCa();
  await using world = await createWorld();
  await world.write(PATHS.controlPlaneRoot, ca.tlsRootPem);
  const secrets = await world.secrets(`localhost:${ca.port}`, { ca: { compliance: "pqc" } });
  return await secrets.get("default").then(
    ({ kind }) => kind,
    (error: Error) => error.message,
  );
}

async function turnsWhileMakingAKey(): Promise<number> {
  const keys = startKeyGeneration(keySpec({ rsaKeySize: 4096, eccAlgorithm: "", eccCurve: "", isPkcs8: false }));
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await keys.next();
  clearInterval(timer);
  return turns;
}

void main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
