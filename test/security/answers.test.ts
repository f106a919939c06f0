import { createServer, type Server } from "node:net";
import { describe, expect, test } from "vitest";
import { exchange } from "../../src/cli/http-exchange.ts";
import { downloadRelease } from "../../src/envoy/binary/release.ts";
import { createAdminClient } from "../../src/envoy/index.ts";
import { fetchGceToken } from "../../src/identity/tokens/gce.ts";
import { askMetadata } from "../../src/node/platform/metadata-server.ts";
import { httpGet } from "../../src/status/http-get.ts";
import { runtimes } from "../support/pilotboat.ts";
import { listenOn, startVictim } from "./rig.ts";

/** What nobody asked for: after it both runtimes close the connection, and tell neither an answer nor a failure. */
const SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/** Answers everything with these bytes. */
function answering(text: string): Server {
  return createServer((socket) => {
    socket.on("error", () => undefined).once("data", () => socket.end(text));
  });
}

const never = new AbortController().signal;

test("hostile untried: an answer that switches protocols ends each request, instead of leaving it open for ever", async () => {
  const server = answering(SWITCHED);
  const port = await listenOn(server);
  const url = `http://127.0.0.1:${port}`;
  const ended = "the connection closed without an answer";
  try {
    await expect(httpGet({ host: "127.0.0.1", port, path: "/", timeoutMs: 5_000 })).rejects.toThrow(ended);
    await expect(createAdminClient("127.0.0.1", port).get("/stats", 30_000)).rejects.toThrow(ended);
    await expect(exchange({ method: "GET", url: new URL(url), timeoutMs: 30_000, signal: never })).rejects.toThrow(
      ended,
    );
    expect(await askMetadata(url, { timeoutMs: 30_000, limit: never })).toBeUndefined();
    const fetching = fetchGceToken({ path: "/nowhere/token", trustDomain: "t", gceMetadataHost: `127.0.0.1:${port}` });
    await expect(fetching()).rejects.toThrow(ended);
    const asked = { version: "1.0.0", platform: "linux-amd64", platformTag: "x", folder: "/nowhere", env: {} } as const;
    const download = { ...asked, releasesUrl: url, mostBytes: 1, onBytes: undefined, stop: never };
    await expect(downloadRelease(download)).rejects.toThrow(ended);
  } finally {
    server.close();
  }
});

describe.each(runtimes())("on $name", (runtime) => {
  test("hostile untried: a metadata server and a metrics port that switch protocols hold up neither start nor scrape", async () => {
    const metadata = answering(SWITCHED);
    const metadataHost = `127.0.0.1:${await listenOn(metadata)}`;
    const stats = answering(SWITCHED);
    try {
      const env = { GCE_METADATA_HOST: metadataHost, CLOUD_PLATFORM: "gcp" };
      await using victim = await startVictim(runtime, { env });
      await listenOn(stats, victim.sandbox.ports.prometheus);
      const answer = await victim.ask("/stats/prometheus");
      expect(answer).toMatchObject({ status: 200, isBroken: false });
      expect(victim.agent.stdout()).toContain("the connection closed without an answer");
      expect((await victim.ask("/healthz/ready")).status).toBe(200);
    } finally {
      metadata.close();
      stats.close();
    }
  });
});
