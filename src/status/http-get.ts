import { request } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";

export interface GetOptions {
  readonly host: string;
  readonly port: number;
  /** With the query, ready for the request line. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Limit for the whole exchange, body included. */
  readonly timeoutMs: number;
}

const unzip = promisify(gunzip);

/** Fetches a text over HTTP. Rejects when that fails, takes longer than the limit, or the status is not 200. */
export async function httpGet({ host, port, path, headers, timeoutMs }: GetOptions): Promise<string> {
  const limit = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(limit.aborted ? new Error(`no answer from ${host}:${port} within ${timeoutMs / 1_000}s`) : error);
    const outgoing = request(
      { host, port, path, agent: false, signal: limit, headers: { "Accept-Encoding": "gzip", ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("error", fail);
        response.on("aborted", () => fail(new Error(`${host}:${port} broke off its answer`)));
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          if (response.statusCode !== 200) return reject(new Error(`unexpected status ${response.statusCode}`));
          const body = Buffer.concat(chunks);
          if (response.headers["content-encoding"] !== "gzip") return resolve(body.toString());
          unzip(body).then((text) => resolve(text.toString()), reject);
        });
      },
    );
    outgoing.on("error", fail);
    outgoing.end();
  });
}
