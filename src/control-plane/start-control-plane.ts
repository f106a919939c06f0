import { describeError, type Logger, type Secret, systemClock, watchPaths } from "../base/index.ts";
import type { Rejection } from "./discovery-service.ts";
import { readResources } from "./resources.ts";
import { createSnapshot, type Snapshot } from "./snapshot.ts";
import type { Workload } from "./tokens.ts";

export interface ControlPlaneOptions {
  /** Folder with YAML files of Envoy resources; it is watched. */
  readonly resources: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0, a free one. */
  readonly port?: number;
  /** Default cluster.local. */
  readonly trustDomain?: string;
  /** What `${NAME}` in the files stands for. */
  readonly values?: Readonly<Record<string, string>>;
  /** Lifetime of certificates whose request names none. Default 24 hours. */
  readonly defaultTtlMs?: number;
  readonly log: Logger;
}

/** A running development control plane: CA and ADS on one TLS port. */
export interface ControlPlane extends AsyncDisposable {
  /** `host:port` as really bound. */
  readonly address: string;
  readonly port: number;
  /** PEM of the root that signed the server's certificate and signs the workloads'. */
  readonly rootPem: string;
  /** A token that proves a workload to this control plane. Default lifetime 12 hours. */
  mintToken(workload: Workload, ttlMs?: number): Promise<Secret>;
  /** Reads the folder again. Rejects with RESOURCES_INVALID and keeps what was served. */
  reload(): Promise<void>;
  connected(): readonly string[];
  rejections(): readonly Rejection[];
  closeStreams(): void;
}

const DAY_MS = 86_400_000;
const TOKEN_TTL_MS = DAY_MS / 2;
/** The name that agents expect of `localhost`. Source: istio/istio pilot/pkg/grpc/tls.go. */
const SERVER_NAMES = ["istiod.istio-system.svc", "localhost"];
const SERVER_IPS = ["127.0.0.1", "::1"];

/**
 * Starts the control plane. Rejects with RESOURCES_INVALID for a bad file, ADDRESS_IN_USE for a taken port.
 * Everything heavy (x509, Envoy's descriptors, gRPC) is loaded here and not before.
 */
export async function startControlPlane(options: ControlPlaneOptions, stop: AbortSignal): Promise<ControlPlane> {
  const { trustDomain = "cluster.local", host = "127.0.0.1", log } = options;
  await import("reflect-metadata"); // first, and by itself: @peculiar/x509 looks for it while it loads
  const [{ createAuthority }, { createTokenIssuer }, { loadEnvoyTypes }, { createDiscoveryService }, { serveGrpc }] =
    await Promise.all([
      import("./authority.ts"),
      import("./tokens.ts"),
      import("./envoy-types.ts"),
      import("./discovery-service.ts"),
      import("./serve-grpc.ts"),
    ]);
  const types = loadEnvoyTypes();
  let reloads = 0;
  const readSnapshot = async (): Promise<Snapshot> => {
    const groups = await readResources(options.resources, options.values ?? {}, types);
    return createSnapshot(`${new Date(systemClock.now()).toISOString()}/${++reloads}`, groups);
  };
  const [snapshot, authority, tokens] = await Promise.all([
    readSnapshot(),
    createAuthority({ trustDomain, serverNames: SERVER_NAMES, serverIps: SERVER_IPS }),
    createTokenIssuer(),
  ]);
  stop.throwIfAborted();
  const discovery = createDiscoveryService({ tokens, trustDomain, snapshot, log });
  const defaultTtlSeconds = Math.round((options.defaultTtlMs ?? DAY_MS) / 1_000);
  const server = await serveGrpc({ ...options, host, trustDomain, authority, tokens, discovery, defaultTtlSeconds });
  const reload = async (): Promise<void> => discovery.publish(await readSnapshot());
  const watch = await watchPaths({ paths: [options.resources], onChange: () => void reloadOrKeep(reload, log) });
  log.info("Control plane is serving", { address: server.address, resources: options.resources });
  return {
    address: server.address,
    port: server.port,
    rootPem: authority.rootPem,
    mintToken: (workload, ttlMs = TOKEN_TTL_MS) => tokens.mint(workload, ttlMs),
    reload,
    connected: () => discovery.connected(),
    rejections: () => discovery.rejections(),
    closeStreams: () => discovery.closeStreams(),
    async [Symbol.asyncDispose]() {
      await watch[Symbol.asyncDispose]();
      server.close();
    },
  };
}

async function reloadOrKeep(reload: () => Promise<void>, log: Logger): Promise<void> {
  try {
    await reload();
    log.info("Reloaded the resources");
  } catch (error) {
    log.error("Cannot reload the resources, keeping what is served", { error: describeError(error) });
  }
}
