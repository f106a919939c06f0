import { request } from "node:http";

export interface MetadataRequest {
  readonly method?: "GET" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Azure gives the body also with other codes. Default false: anything but 200 is a failure. */
  readonly isAnyStatusFine?: boolean;
}

export interface MetadataAnswer {
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Asks a cloud's metadata server; undefined whenever there is no answer, for whatever reason. */
export function askMetadata(url: string, options: MetadataRequest): Promise<MetadataAnswer | undefined> {
  const { method = "GET", headers = {}, timeoutMs, isAnyStatusFine = false } = options;
  return new Promise((done) => {
    const call = request(url, { method, headers, agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("error", () => done(undefined));
      response.once("end", () => {
        const isFine = response.statusCode === 200 || isAnyStatusFine;
        done(isFine ? { body: Buffer.concat(chunks).toString("utf8"), headers: response.headers } : undefined);
      });
    });
    call.once("error", () => done(undefined));
    call.end();
  });
}
