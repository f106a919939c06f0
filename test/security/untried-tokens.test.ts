import { createServer as createHttp } from "node:http";
import { createSecureServer } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTls } from "node:tls";
import { expect, test } from "vitest";
import { fetchGceToken } from "../../src/identity/tokens/gce.ts";
import { startCaClient } from "../identity/ca-rig.ts";
import { createWorld } from "../identity/world.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { createTestCa } from "../support/test-ca.ts";
import { CDS, startRig } from "../xds/relay-rig.ts";
import { listenOn } from "./rig.ts";

const NAME = "istiod.test";
const ADDRESS = `${NAME}:15012`;

/** Speaks TLS under the control plane's name, with a root of its own, and keeps what it could read. */
async function startImpostor() {
  const stranger = await createTestCa("stranger");
  const { certPem: cert, keyPem: key } = await stranger.issue({ dns: [NAME, "istiod.istio-system.svc"] });
  const open = new Set<Socket>();
  let seen = "";
  const server: Server = createTls({ cert, key, ALPNProtocols: ["h2"] }, (socket) =>
    socket.on("error", () => undefined).on("data", (bytes: Buffer) => (seen += bytes.toString("latin1"))),
  ).on("tlsClientError", () => undefined);
  server.on("connection", (socket) => open.add(socket));
  const port = await listenOn(server);
  return {
    port,
    asked: () => open.size,
    seen: () => seen,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}

test("hostile untried: a proxy that puts itself in between, and a name that leads elsewhere, get no byte of a request", async () => {
  await using impostor = await startImpostor();
  await using proxy = await startConnectProxy({ [ADDRESS]: impostor.port });
  const through = { address: proxy.address, credentials: undefined, except: [] };
  await using rig = await startCaClient();
  const ways = [{ endpoint: ADDRESS, proxy: through }, { endpoint: `localhost:${impostor.port}` }];
  for (const way of ways) {
    await expect(rig.clientWith(way).sign("csr", new AbortController().signal)).rejects.toThrow(/certificate/);
  }
  const root = await createTestCa("ours");
  const credentials = {
    tls: async () => ({ roots: Buffer.from(root.certPem), serverName: NAME }),
    metadata: async (): Promise<[string, string][]> => [["authorization", "Bearer secret"]],
  };
  for (const upstream of [{ address: ADDRESS, proxy: through }, { address: `127.0.0.1:${impostor.port}` }]) {
    await using relay = await startRig(0, { upstream: { ...upstream, credentials } });
    const stream = relay.connect().open("delta");
    stream.request({ typeUrl: CDS });
    expect((await stream.ended).code).toBe(14);
  }
  expect(impostor.asked()).toBeGreaterThan(3);
  expect(impostor.seen()).toBe("");
  expect(new Set(proxy.asked.map(({ authorization }) => authorization))).toEqual(new Set([undefined]));
});

test("hostile untried: a control plane and a metadata server that redirect are not followed", async () => {
  let followed = 0;
  const elsewhere = createHttp((_request, response) => {
    followed++;
    response.end("a.stolen.token");
  });
  const location = `http://127.0.0.1:${await listenOn(elsewhere)}/`;
  const metadata = createHttp((_request, response) => response.writeHead(302, { location }).end());
  const root = await createTestCa("ours");
  const { certPem: cert, keyPem: key } = await root.issue({ dns: [NAME] });
  const istiod = createSecureServer({ cert, key }).on("stream", (stream) => {
    stream.on("error", () => undefined).respond({ ":status": 307, location }, { endStream: true });
  });
  await using world = await createWorld();
  try {
    const gceMetadataHost = `127.0.0.1:${await listenOn(metadata)}`;
    const fetching = fetchGceToken({ path: join(world.cwd, "token"), trustDomain: "t", gceMetadataHost });
    await expect(fetching()).rejects.toMatchObject({ code: "TOKEN_UNREADABLE" });
    await new Promise<void>((done) => istiod.listen(0, "127.0.0.1", done));
    const { port } = istiod.address() as AddressInfo;
    const credentials = {
      tls: async () => ({ roots: Buffer.from(root.certPem), serverName: NAME }),
      metadata: async (): Promise<[string, string][]> => [["authorization", "Bearer secret"]],
    };
    await using relay = await startRig(port, { upstream: { credentials } });
    const stream = relay.connect().open("delta");
    stream.request({ typeUrl: CDS });
    expect((await stream.ended).code).not.toBe(0);
    expect(followed).toBe(0);
  } finally {
    for (const server of [elsewhere, metadata, istiod]) server.close();
  }
});
