import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from "@grpc/grpc-js";
import * as x509 from "@peculiar/x509";
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  IstioCertificateResponseSchema,
} from "../../src/proto/gen/istio/v1/auth/ca_pb.ts";
import { createTestCa, type TestCa } from "./test-ca.ts";

export interface Signer {
  readonly rootPem: string;
  /** Signs the request for the identity that it asks for, or for `uri`. */
  sign(csr: string, options?: SignOptions): Promise<string>;
}

export interface SignOptions {
  readonly lifeMs?: number;
  readonly notBefore?: Date;
  readonly uri?: string;
  /** Puts another public key into the certificate. */
  readonly foreignKey?: boolean;
}

/** What the fake does with the next requests. */
export type Behaviour =
  | ({ readonly kind: "sign"; readonly signer?: Signer } & SignOptions)
  | { readonly kind: "answer"; readonly chain: readonly string[] }
  | { readonly kind: "status"; readonly code: number; readonly details: string }
  | { readonly kind: "silent" | "break" | "garbage" | "leafOnly" };

export interface ReceivedRequest {
  readonly message: IstioCertificateRequest;
  readonly metadata: Metadata;
  readonly clientCertificate: string | undefined;
}

export interface FakeCa extends AsyncDisposable {
  readonly port: number;
  /** Trust this to reach the fake. */
  readonly tlsRootPem: string;
  readonly signer: Signer;
  readonly requests: readonly ReceivedRequest[];
  behaviour: Behaviour;
}

export interface FakeCaOptions {
  readonly tlsCa?: TestCa;
  readonly port?: number;
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  /** PEM: asks for a client certificate and takes only those of this CA. */
  readonly clientCa?: string;
  readonly isPlaintext?: boolean;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;
const PATH = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/** A certificate authority as istiod is one, that misbehaves on demand. */
export async function startFakeCa(options: FakeCaOptions = {}): Promise<FakeCa> {
  const tlsCa = options.tlsCa ?? (await createTestCa("fake CA's TLS root"));
  const dns = options.dns ?? ["istiod.istio-system.svc"];
  const server = new Server();
  const requests: ReceivedRequest[] = [];
  const signer = await createSigner("mesh root");
  const ca: { behaviour: Behaviour } = { behaviour: { kind: "sign" } };
  server.addService(DEFINITION, {
    create: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
      const message = fromBinary(IstioCertificateRequestSchema, call.request);
      const certificate = call.getAuthContext().sslPeerCertificate?.subject?.CN;
      requests.push({ message, metadata: call.metadata, clientCertificate: certificate?.toString() });
      void behave(ca.behaviour, signer, message.csr, call, answer);
    },
  });
  const credentials =
    options.isPlaintext === true
      ? ServerCredentials.createInsecure()
      : await tlsOf(tlsCa, dns, options.ips ?? [], options.clientCa);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return Object.assign(ca, {
    port,
    tlsRootPem: tlsCa.certPem,
    signer,
    requests,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  });
}

async function tlsOf(ca: TestCa, dns: readonly string[], ips: readonly string[], clientCa: string | undefined) {
  const { certPem, keyPem } = await ca.issue({ dns, ips });
  const pair = { cert_chain: Buffer.from(certPem), private_key: Buffer.from(keyPem) };
  return ServerCredentials.createSsl(
    clientCa === undefined ? null : Buffer.from(clientCa),
    [pair],
    clientCa !== undefined,
  );
}

async function behave(
  behaviour: Behaviour,
  own: Signer,
  csr: string,
  call: ServerUnaryCall<Buffer, Buffer>,
  answer: sendUnaryData<Buffer>,
): Promise<void> {
  switch (behaviour.kind) {
    case "sign": {
      const signer = behaviour.signer ?? own;
      return answer(null, encode([await signer.sign(csr, behaviour), signer.rootPem]));
    }
    case "answer":
      return answer(null, encode(behaviour.chain));
    case "leafOnly":
      return answer(null, encode([await own.sign(csr)]));
    case "status":
      return answer({ code: behaviour.code, details: behaviour.details });
    case "garbage":
      return answer(null, Buffer.from([0xff, 0xff, 0xff, 0x01]));
    case "break":
      socketOf(call)?.destroy();
      return;
    case "silent":
      return;
  }
}

/** grpc-js keeps the HTTP/2 stream to itself; a fake that breaks connections needs the socket below. */
function socketOf(call: unknown): { destroy(): void } | undefined {
  const seen = new Set<unknown>();
  const find = (value: unknown, depth: number): { destroy(): void } | undefined => {
    if (typeof value !== "object" || value === null || seen.has(value) || depth > 5) return undefined;
    seen.add(value);
    if ("session" in value && typeof value.session === "object" && value.session !== null) {
      return value.session as { destroy(): void };
    }
    for (const inner of Object.values(value)) {
      const found = find(inner, depth + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return find(call, 0);
}

function encode(certChain: readonly string[]): Buffer {
  const response = create(IstioCertificateResponseSchema, { certChain: [...certChain] });
  return Buffer.from(toBinary(IstioCertificateResponseSchema, response));
}

/** A mesh root that signs certificate requests. */
export async function createSigner(name: string): Promise<Signer> {
  x509.cryptoProvider.set(webcrypto as never); // the same thing under the browser's type name
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    notBefore: new Date(Date.now() - 30 * DAY_MS),
    notAfter: new Date(Date.now() + 365 * DAY_MS),
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  let serial = 1;
  return {
    rootPem: root.toString("pem"),
    async sign(csr, { lifeMs = DAY_MS, notBefore = new Date(Date.now() - 120_000), uri, foreignKey = false } = {}) {
      const request = new x509.Pkcs10CertificateRequest(csr);
      if (!(await request.verify())) throw new Error("the request's signature is wrong");
      const other = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const asked = request.extensions.find((extension) => extension.type === "2.5.29.17");
      const names =
        uri === undefined && asked !== undefined
          ? new x509.SubjectAlternativeNameExtension(asked.rawData).names.toJSON()
          : [{ type: "url" as const, value: uri ?? "" }];
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: (++serial).toString(16).padStart(4, "0"),
        issuer: root.subject,
        publicKey: foreignKey ? other.publicKey : request.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        notBefore,
        notAfter: new Date(Math.max(notBefore.getTime(), Date.now()) + lifeMs),
        extensions: [new x509.SubjectAlternativeNameExtension(names, true)],
      });
      return leaf.toString("pem");
    },
  };
}

const DEFINITION: ServiceDefinition = {
  create: {
    path: PATH,
    requestStream: false,
    responseStream: false,
    requestDeserialize: (bytes: Buffer) => bytes,
    requestSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
  },
};
