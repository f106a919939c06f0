import { randomUUID } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { importPKCS8, SignJWT } from "jose";
import { createTestCa, type IssuedCertificate } from "./test-ca.ts";

export interface TokenService extends AsyncDisposable {
  /** What the registry has to be configured with. */
  readonly words: {
    readonly realm: string;
    readonly service: string;
    readonly issuer: string;
    readonly rootPem: string;
  };
  /** Each request: query or form, and its Authorization. */
  readonly asked: readonly {
    readonly query: URLSearchParams;
    readonly authorization: string | undefined;
    readonly method: string;
  }[];
}

export interface TokenWords {
  readonly tls: IssuedCertificate;
  /** Who may pull; without it everybody. */
  readonly mayPull?: (authorization: string | undefined, query: URLSearchParams) => boolean;
  /** How long a token is good for. Default 300. */
  readonly seconds?: number;
}

/** The token service of a registry: signs what distribution's docs/spec/auth/jwt.md asks for. */
export async function startTokenService({
  tls,
  mayPull = () => true,
  seconds = 300,
}: TokenWords): Promise<TokenService> {
  const ca = await createTestCa("token root");
  const signer = await ca.issue({ subject: "CN=token signer" });
  const key = await importPKCS8(signer.keyPem, "ES256");
  const x5c = [signer.certPem.replace(/-----[^-]+-----|\s/g, "")];
  const asked: { query: URLSearchParams; authorization: string | undefined; method: string }[] = [];
  const server = createServer({ cert: tls.certPem, key: tls.keyPem }, async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const query =
      request.method === "POST" ? new URLSearchParams(body) : new URL(request.url ?? "", "https://x").searchParams;
    const { authorization } = request.headers;
    asked.push({ query, authorization, method: request.method ?? "" });
    const [type, name, actions = ""] = (query.get("scope") ?? "").split(":");
    const access = mayPull(authorization, query) ? [{ type, name, actions: actions.split(",") }] : [];
    const token = await new SignJWT({ access })
      .setProtectedHeader({ alg: "ES256", x5c, typ: "JWT" })
      .setIssuer("test issuer")
      .setAudience("test registry")
      .setSubject("")
      .setJti(randomUUID())
      .setIssuedAt()
      .setNotBefore("-10s")
      .setExpirationTime(`${seconds}s`)
      .sign(key);
    const field = request.method === "POST" ? "access_token" : "token";
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ [field]: token }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const realm = `https://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return {
    words: { realm, service: "test registry", issuer: "test issuer", rootPem: ca.certPem },
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
