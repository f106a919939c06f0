import { createWriteStream } from "node:fs";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { lookupForSocket, responseTo, VERIFIED_TLS } from "../../base/index.ts";
import type { SourceRequest } from "./source-request.ts";

const ENVOY_RELEASES = "https://github.com/envoyproxy/envoy/releases/download";

/** Downloads the executable itself, over HTTP. Does not know proxies: Node 20 has none. */
export async function downloadRelease(request: SourceRequest): Promise<string> {
  const { version, platformTag, folder, releasesUrl = ENVOY_RELEASES, mostBytes, onBytes, stop } = request;
  const name = `envoy-${version}-${platformTag}`;
  const file = join(folder, name);
  const response = await get(new URL(`${releasesUrl}/v${version}/${name}`), stop, MOST_REDIRECTS);
  let bytes = 0;
  const counting = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > mostBytes) throw new Error(`more than ${mostBytes} bytes came`);
      onBytes?.(bytes);
      yield chunk;
    }
  };
  await pipeline(response, counting, createWriteStream(file, { flags: "wx" }), { signal: stop });
  const wanted = response.headers["content-length"];
  if (wanted !== undefined && Number(wanted) !== bytes) throw new Error(`only ${bytes} of ${wanted} bytes came`);
  return file;
}

const MOST_REDIRECTS = 5;
const SILENCE_LIMIT_MS = 30_000;

async function get(url: URL, stop: AbortSignal, redirects: number): Promise<IncomingMessage> {
  const response = await getOnce(url, stop);
  const { statusCode = 0, headers } = response;
  if (statusCode === 200) return response;
  response.destroy(); // its body is not read
  if (![301, 302, 303, 307, 308].includes(statusCode) || headers.location === undefined) {
    throw new Error(`"${url.href}" answered ${statusCode}`);
  }
  if (redirects === 0) throw new Error(`stopped after ${MOST_REDIRECTS} redirects`);
  const next = new URL(headers.location, url);
  if (next.protocol !== "https:" && next.protocol !== url.protocol) {
    throw new Error(`"${url.origin}" redirects to "${next.origin}", which is not encrypted`);
  }
  return get(next, stop, redirects - 1);
}

function getOnce(url: URL, stop: AbortSignal): Promise<IncomingMessage> {
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  const words = { agent: false, signal: stop, timeout: SILENCE_LIMIT_MS, lookup: lookupForSocket, ...VERIFIED_TLS };
  const call = request(url, words);
  call.once("timeout", () => call.destroy(new Error(`"${url.host}" was silent for ${SILENCE_LIMIT_MS}ms`)));
  return responseTo(call);
}
