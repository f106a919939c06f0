import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { imageSource } from "../../src/agent/parts/wasm-images.ts";
import { createMetrics, createTransport, silentLogger } from "../../src/base/index.ts";
import type { PullWords } from "../../src/wasm/extension.ts";
import { fetchPermits } from "../../src/wasm/index.ts";
import { ModuleCache, type ModuleCacheOptions, type ModuleWish } from "../../src/wasm/module-cache.ts";
import type { IssuedCertificate } from "../support/test-ca.ts";

export interface CacheRig extends AsyncDisposable {
  readonly folder: string;
  /** Another cache in the same folder, as after a restart. */
  open(options?: CacheWords): ModuleCache;
  /** Fetches with the first cache; resolves with the file. */
  get(url: string, words?: WishWords): Promise<string>;
  /** All files below the folder, without those of URLs and other records. */
  modules(): Promise<string[]>;
  metric(name: string): string | undefined;
}

export type CacheWords = Partial<ModuleCacheOptions> & {
  readonly blocked?: readonly string[];
  readonly insecure?: string;
};
export type WishWords = Partial<Omit<ModuleWish, "pull">> & Partial<PullWords> & { readonly stop?: AbortSignal };

/** A cache in a folder of its own, with the agent's own clients. */
export async function cacheRig(words: CacheWords = {}): Promise<CacheRig> {
  const folder = await mkdtemp(join(tmpdir(), "pb-wasm-cache-"));
  const metrics = createMetrics("");
  const opened: ModuleCache[] = [];
  const open = ({ blocked = [], insecure, ...options }: CacheWords = words): ModuleCache => {
    const isInsecure = (host: string): boolean => insecure === "*" || insecure === host;
    const reach = { permits: fetchPermits(blocked, silentLogger), isUnverified: isInsecure };
    const cache = new ModuleCache({
      ...{ folder, metrics, log: silentLogger, transport: createTransport(reach), isInUse: () => false },
      images: imageSource({ reach, env: { HOME: folder }, isInsecure, log: silentLogger }),
      ...{ requestTimeoutMs: 5_000, attempts: 5, mostBytes: 2 ** 20, expiryMs: 3_600_000, purgeIntervalMs: 3_600_000 },
      ...options,
    });
    opened.push(cache);
    return cache;
  };
  const cache = open();
  return {
    ...{ folder, open },
    get: (url, more) => getFrom(cache, url, more),
    modules: async () => (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".wasm")),
    metric: (name) =>
      metrics
        .render()
        .split("\n")
        .find((line) => line.startsWith(name))
        ?.slice(name.length + 1),
    async [Symbol.asyncDispose]() {
      for (const one of opened) await one[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function getFrom(cache: ModuleCache, url: string, words: WishWords = {}): Promise<string> {
  const { secret, policy = "unspecified", version = "", stop = new AbortController().signal, ...more } = words;
  const pull = { secret, policy, version };
  return cache.get({ url, checksum: "", resource: "ns.plugin", timeoutMs: 20_000, ...more, pull }, stop);
}

export interface WebServer extends AsyncDisposable {
  readonly address: string;
  readonly origin: string;
  readonly asked: string[];
}

export async function serveWeb(answer: RequestListener, tls?: IssuedCertificate): Promise<WebServer> {
  const asked: string[] = [];
  const listener: RequestListener = (request, response) => {
    asked.push(request.url ?? "");
    answer(request, response);
  };
  const server =
    tls === undefined ? createServer(listener) : createTlsServer({ cert: tls.certPem, key: tls.keyPem }, listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...{ address, asked },
    origin: `${tls === undefined ? "http" : "https"}://${address}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
