import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bindUnix, createLogger, createMetrics, Lifetime, type LogLevel } from "../../src/base/index.ts";
import { serveXdsRelay, type XdsRelay, type XdsRelayOptions } from "../../src/xds/index.ts";
import type { UpstreamCredentials } from "../../src/xds/types.ts";
import { type AdsClient, connectAds } from "../support/ads-client.ts";

export const CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
export const LDS = "type.googleapis.com/envoy.config.listener.v3.Listener";
export const NDS = "type.googleapis.com/istio.networking.nds.v1.NameTable";

export interface Rig extends AsyncDisposable {
  readonly relay: XdsRelay;
  readonly socketPath: string;
  /** Lines written so far, `level TAB scope TAB message …`. */
  readonly log: string[];
  metric(name: string): string | undefined;
  /** All of them, as a scrape gets them. */
  metrics(): string;
  connect(): AdsClient;
}

export const plaintext: UpstreamCredentials = { tls: async () => "plaintext", metadata: async () => [] };

/** A relay on a socket in a temporary folder, towards `port` on the loopback. */
export async function startRig(
  port: number,
  options: Partial<Omit<XdsRelayOptions, "upstream">> & { upstream?: Partial<XdsRelayOptions["upstream"]> } = {},
  beforeServing: (socketPath: string) => Promise<void> = async () => undefined,
): Promise<Rig> {
  const life = new Lifetime();
  const folder = await mkdtemp(join(tmpdir(), "pb-xds-"));
  life.defer("folder", () => rm(folder, { recursive: true, force: true }));
  const socket = await life.own("socket", bindUnix(join(folder, "XDS")));
  await beforeServing(socket.address);
  const lines: string[] = [];
  const metrics = createMetrics("istio_agent_");
  const relay = await life.own(
    "relay",
    serveXdsRelay(
      {
        socket,
        intercept: {},
        log: createLogger({
          write: (line) => void lines.push(line.replace(/^[^\t]*\t/, "").trimEnd()),
          levels: new Map<string, LogLevel>([["xdsproxy", "debug"]]),
        }),
        metrics,
        ...options,
        upstream: {
          address: `127.0.0.1:${port}`,
          clusterId: "Kubernetes",
          credentials: plaintext,
          ...options.upstream,
        },
      },
      new AbortController().signal,
    ),
  );
  return {
    relay,
    socketPath: socket.address,
    log: lines,
    metrics: () => metrics.render(),
    metric: (name) =>
      metrics
        .render()
        .split("\n")
        .find((line) => line.startsWith(`istio_agent_${name} `) || line.startsWith(`istio_agent_${name}{`)),
    connect() {
      const client = connectAds(socket.address);
      life.defer("client", () => client[Symbol.dispose]());
      return client;
    },
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}
