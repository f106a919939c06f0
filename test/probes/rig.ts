import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createHttp2Server, createSecureServer, type Http2SecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server as NetServer } from "node:net";
import { onTestFinished } from "vitest";
import { createLogger } from "../../src/base/index.ts";
import { createProber } from "../../src/probes/index.ts";
import type { ProbeAnswer } from "../../src/probes/prober.ts";
import { parseProbers } from "../../src/probes/table/index.ts";
import { createTestCa } from "../support/test-ca.ts";

export const READY = "/app-health/web/readyz";
export const STATUS_PORT = 15020;

export interface Asking {
  readonly headers?: readonly string[];
  readonly path?: string;
  readonly gone?: AbortSignal;
}

interface RigOptions {
  readonly host?: string;
  readonly source?: string;
  readonly offersHttp2?: boolean;
  readonly keepsAlive?: boolean;
}

/** A prober of one probe at `READY`, and what it logs. */
export function rig(probe: object, { host = "127.0.0.1", source = "127.0.0.6", ...options }: RigOptions = {}) {
  const log: string[] = [];
  const prober = createProber({
    probes: parseProbers(JSON.stringify({ [READY]: probe })),
    destination: { host, address: host, source },
    statusPort: STATUS_PORT,
    ...{ offersHttp2: true, keepsAlive: false, ...options },
    log: createLogger({ write: (line) => log.push(line) }),
  });
  const ask = ({
    headers = [],
    path = READY,
    gone = new AbortController().signal,
  }: Asking = {}): Promise<ProbeAnswer> => prober.answer({ path, rawHeaders: headers, gone });
  return { ask, log };
}

export interface App {
  readonly port: number;
  readonly seen: readonly IncomingMessage[];
}

/** An application; `answer` comes after the request is noted. */
export async function startApp(
  answer: RequestListener,
  form: "http" | "https" | "h2" = "http",
  alpn?: string[],
): Promise<App> {
  const seen: IncomingMessage[] = [];
  const note: RequestListener = (request, response) => {
    seen.push(request);
    answer(request, response);
  };
  const server = await serverOf(form, note, alpn);
  return { port: await listen(server), seen };
}

async function serverOf(form: "http" | "https" | "h2", note: RequestListener, alpn: string[] | undefined) {
  if (form === "http") return createServer(note);
  const { certPem, keyPem } = await createTestCa();
  const words = { cert: certPem, key: keyPem, ...(alpn === undefined ? {} : { ALPNProtocols: alpn }) };
  if (form === "https") return createHttpsServer(words, note);
  return createSecureServer({ ...words, allowHTTP1: alpn?.includes("http/1.1") ?? false }, note as never);
}

export async function listen(server: NetServer | Server | Http2SecureServer, host = "127.0.0.1"): Promise<number> {
  await new Promise<void>((done) => server.listen(0, host, done));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** A gRPC server with the health service, by hand: `status` of the service that is asked for. */
export function healthServer(
  statusOf: (service: string, userAgent: string) => number | { readonly code: number },
): NetServer {
  const server = createHttp2Server();
  server.on("stream", (stream, headers) => {
    const pieces: Buffer[] = [];
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.on("end", () => {
      const message = Buffer.concat(pieces).subarray(5);
      const service = message.subarray(2).toString();
      const answer = statusOf(service, String(headers["user-agent"]));
      const head = { ":status": 200, "content-type": "application/grpc" };
      if (typeof answer !== "number") {
        stream.respond({ ...head, "grpc-status": String(answer.code) }, { endStream: true });
        return;
      }
      stream.respond(head, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from(answer === 0 ? [0, 0, 0, 0, 0] : [0, 0, 0, 0, 2, 8, answer]));
    });
  });
  return server as unknown as NetServer;
}
