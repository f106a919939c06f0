import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { createTestCa, type TestCa } from "./test-ca.ts";

export interface SeenRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  /** Common name of the client certificate. */
  readonly client: string | undefined;
  readonly groups: string | undefined;
}

export interface FakeKubeApi extends AsyncDisposable {
  readonly port: number;
  readonly ca: TestCa;
  readonly seen: readonly SeenRequest[];
  /** PEM that is served as the mesh's root. */
  readonly rootPem: string;
  /** Which requests get a 401. */
  refuse(isRefused: (request: SeenRequest) => boolean): void;
}

/** What a client shows to an API server: it hands out tokens and a root to everybody, and notes who asked. */
export async function startFakeKubeApi(): Promise<FakeKubeApi> {
  const ca = await createTestCa("kube");
  const { certPem, keyPem } = await ca.issue({ ips: ["127.0.0.1"], dns: ["kube.test"] });
  const seen: SeenRequest[] = [];
  let isRefused: (request: SeenRequest) => boolean = () => false;
  const options = { cert: certPem, key: keyPem, ca: ca.certPem, requestCert: true, rejectUnauthorized: false };
  const server = createServer(options, (asked, answer) => {
    const socket = asked.socket as TLSSocket;
    const one: SeenRequest = {
      path: asked.url ?? "",
      authorization: asked.headers.authorization,
      client: socket.authorized ? socket.getPeerCertificate().subject?.CN?.toString() : undefined,
      groups: asked.headers["impersonate-group"]?.toString(),
    };
    seen.push(one);
    asked.resume();
    const [status, body] = isRefused(one)
      ? [401, { kind: "Status", message: "Unauthorized" }]
      : one.path.endsWith("/token")
        ? [201, { status: { token: tokenFor(3_600) } }]
        : [200, { data: { "root-cert.pem": ca.certPem } }];
    answer.writeHead(status as number, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: (server.address() as AddressInfo).port,
    ca,
    seen,
    rootPem: ca.certPem,
    refuse(test) {
      isRefused = test;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** A JWT without a signature. */
export function tokenFor(seconds: number): string {
  const iat = Math.floor(Date.now() / 1_000);
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ iat, exp: iat + seconds })}.`;
}
