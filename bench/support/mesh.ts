import { type Signer, startFakeCa } from "../../test/support/fake-ca.ts";
import { createTestCa } from "../../test/support/test-ca.ts";
import { type SourceOrders, startAdsSource } from "./ads-source.ts";
import { type Agent, type AgentOptions, startAgent } from "./agent.ts";
import type { Form } from "./forms.ts";
import { nowNs } from "./grpc-wire.ts";
import type { RoleProcess } from "./roles.ts";

/** A synthetic mesh: a control plane and a CA, to which agents of any form are connected. */
export interface Mesh extends AsyncDisposable {
  readonly source: RoleProcess<SourceOrders>;
  /** Of the source. */
  readonly port: number;
  readonly rootPem: string;
  startAgent(form: Form, options?: AgentOptions): Promise<Agent>;
  /** When the CA's newest certificate was ready, on the clock of `nowNs`; 0 before the first. */
  lastSignedNs(): number;
}

const NAMES = ["istiod.istio-system.svc", "localhost"];

const DAY_MS = 86_400_000;

export interface MeshOptions {
  /** How long certificates live. Default: a day. */
  readonly certificateMs?: number;
}

export async function startMesh({ certificateMs = DAY_MS }: MeshOptions = {}): Promise<Mesh> {
  const tlsCa = await createTestCa();
  const ca = await startFakeCa({ tlsCa, dns: NAMES });
  let signedNs = 0;
  const signer: Signer = {
    rootPem: ca.signer.rootPem,
    async sign(csr) {
      const pem = await ca.signer.sign(csr, { lifeMs: certificateMs, notBefore: new Date() });
      signedNs = nowNs();
      return pem;
    },
  };
  ca.behaviour = { kind: "sign", signer };
  const source = await startAdsSource(await tlsCa.issue({ dns: NAMES }));
  const port = await source.call("port", null);
  const places = { discovery: port, ca: ca.port, rootPem: ca.tlsRootPem, token: unsignedToken() };
  return {
    source,
    port,
    rootPem: places.rootPem,
    startAgent: (form, options = {}) => startAgent(form, places, options),
    lastSignedNs: () => signedNs,
    async [Symbol.asyncDispose]() {
      source[Symbol.dispose]();
      await ca[Symbol.asyncDispose]();
    },
  };
}

/** A well-formed JWT that nobody verifies. */
function unsignedToken(): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const nowS = Math.floor(Date.now() / 1_000);
  const claims = { iss: "bench", aud: ["istio-ca"], sub: "system:serviceaccount:default:default", iat: nowS };
  return [part({ alg: "RS256", typ: "JWT" }), part({ ...claims, exp: nowS + 86_400 }), part("unsigned")].join(".");
}
