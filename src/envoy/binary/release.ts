import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type HttpStream, httpStream, NoAnswerError } from "../../base/index.ts";
import type { SourceRequest } from "./source-request.ts";

const ENVOY_RELEASES = "https://github.com/envoyproxy/envoy/releases/download";

/** Downloads the executable itself, over HTTP. Does not know proxies: Node 20 has none. */
export async function downloadRelease(request: SourceRequest): Promise<string> {
  const { version, platformTag, folder, releasesUrl = ENVOY_RELEASES, mostBytes, onBytes, stop } = request;
  const name = `envoy-${version}-${platformTag}`;
  const file = join(folder, name);
  const limits = { signal: stop, mostBytes: Number.POSITIVE_INFINITY }; // counted below, with the words for it
  const response = await get(new URL(`${releasesUrl}/v${version}/${name}`), limits, MOST_REDIRECTS);
  let bytes = 0;
  const counting = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > mostBytes) throw new Error(`more than ${mostBytes} bytes came`);
      onBytes?.(bytes);
      yield chunk;
    }
  };
  await pipeline(response.body, counting, createWriteStream(file, { flags: "wx" }), { signal: stop });
  const wanted = response.headers["content-length"];
  if (wanted !== undefined && Number(wanted) !== bytes) throw new Error(`only ${bytes} of ${wanted} bytes came`);
  return file;
}

const MOST_REDIRECTS = 5;
const SILENCE_LIMIT_MS = 30_000;

async function get(url: URL, limits: Limits, redirects: number): Promise<HttpStream> {
  const response = await httpStream(url, { ...limits, silenceMs: SILENCE_LIMIT_MS }).catch((error: unknown) => {
    throw error instanceof NoAnswerError ? new Error(`"${url.host}" sent nothing for ${SILENCE_LIMIT_MS}ms`) : error;
  });
  const { status, headers } = response;
  if (status === 200) return response;
  response[Symbol.dispose](); // its body is not read
  if (![301, 302, 303, 307, 308].includes(status) || headers.location === undefined) {
    throw new Error(`"${url.href}" answered ${status}`);
  }
  if (redirects === 0) throw new Error(`stopped after ${MOST_REDIRECTS} redirects`);
  const next = new URL(headers.location, url);
  if (next.protocol !== "https:" && next.protocol !== url.protocol) {
    throw new Error(`"${url.origin}" redirects to "${next.origin}", which is not encrypted`);
  }
  return get(next, limits, redirects - 1);
}

interface Limits {
  readonly signal: AbortSignal;
  readonly mostBytes: number;
}
