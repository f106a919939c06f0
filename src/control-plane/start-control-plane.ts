import {
  type BoundSocket,
  bindTcp,
  connectionLimit,
  describeError,
  type Logger,
  stoppedOr,
  systemClock,
  watchPaths,
} from "../base/index.ts";
import type { ControlPlane, ControlPlaneNews, ControlPlaneOptions } from "./control-plane.ts";
import type { Snapshot } from "./snapshot.ts";

const DAY_MS = 86_400_000;
const TOKEN_TTL_MS = DAY_MS / 2;
/** A workload has two or three. */
const MOST_CONNECTIONS = 4_096;

/**
 * Starts the control plane. Rejects with RESOURCES_INVALID for a bad file, ADDRESS_IN_USE for a taken port,
 * CA_FOLDER_INVALID for an unusable CA, STOPPED when `stop` comes first. Everything heavy (Envoy's descriptors, gRPC) is loaded here and not before.
 */
export async function startControlPlane(options: ControlPlaneOptions, stop: AbortSignal): Promise<ControlPlane> {
  const { most } = connectionLimit(MOST_CONNECTIONS);
  const limit = { most, mostPerPeer: most }; // a mesh on one machine has one address
  const socket = await bindTcp(options.host ?? "127.0.0.1", options.port ?? 0, { limit });
  try {
    return await serveOn(socket, options, stop);
  } catch (error) {
    await socket[Symbol.asyncDispose]();
    throw stoppedOr(error, stop);
  }
}

async function serveOn(socket: BoundSocket, options: ControlPlaneOptions, stop: AbortSignal): Promise<ControlPlane> {
  const { trustDomain = "cluster.local", host = "127.0.0.1", log, onNews = () => undefined } = options;
  const { resources: folder } = options;
  const values = { TRUST_DOMAIN: trustDomain, ...options.values };
  const code = await loadCode();
  const types = code.loadEnvoyTypes();
  const versions = countVersions();
  const readSnapshot = async (): Promise<Snapshot> =>
    code.createSnapshot(versions(), await code.readResources(folder, values, types));
  const [snapshot, signing] = await Promise.all([
    readSnapshot(),
    code.createSigning({ ...options, trustDomain, host }),
  ]);
  stop.throwIfAborted();
  const { tokens } = signing;
  const discovery = code.createDiscoveryService({
    ...{ tokens, trustDomain, snapshot, log },
    onRefusal: (rejection) => onNews({ kind: "refused", rejection }),
  });
  const faults = code.createFaults(discovery);
  const createCertificate = code.createCertificateHandler({
    ...{ tokens, trustDomain, log },
    authority: () => signing.authority(),
    defaultTtlSeconds: Math.round((options.defaultTtlMs ?? DAY_MS) / 1_000),
    forcedTtlSeconds: () => faults.forcedTtlSeconds(),
  });
  const server = code.serveGrpc({
    ...{ socket, tls: signing.serverTls(), createCertificate, discovery: discovery.handlers },
    interceptor: (onKnown) => code.authenticating({ tokens, trustDomain, log, onKnown }),
  });
  const tellRead = ({ listeners, counts }: Snapshot, isAgain: boolean): void => {
    if (Object.keys(counts).length === 0) log.warn("There are no resources: whoever connects gets none", { folder });
    onNews({ kind: "read", isAgain, listeners });
  };
  const reload = async (): Promise<void> => {
    const next = await readSnapshot();
    discovery.publish(next);
    tellRead(next, true);
  };
  tellRead(snapshot, false);
  const watch = await watchPaths({
    paths: [folder],
    onChange: () => void reloadOrKeep(reload, log, onNews),
  });
  log.info("Control plane is serving", { address: socket.address, resources: folder });
  return {
    address: socket.address,
    port: socket.port,
    get rootPem() {
      return signing.authority().material.roots;
    },
    faults,
    mintToken: (workload, ttlMs = TOKEN_TTL_MS) => tokens.mint(workload, ttlMs),
    reload,
    setResources(text) {
      const groups = code.parseResources({ file: "resources", text }, values, types);
      discovery.publish(code.createSnapshot(versions(), groups));
    },
    async rotateRoot(rotation) {
      await signing.rotate(rotation);
      server.useTls(signing.serverTls());
      log.info("Changed the root", { overlapping: rotation.isOverlapping });
    },
    resourceCounts: () => discovery.counts(),
    connected: () => discovery.connected(),
    rejections: () => discovery.rejections(),
    healthReports: () => discovery.healthReports(),
    closeStreams: () => discovery.closeStreams(),
    async [Symbol.asyncDispose]() {
      await watch[Symbol.asyncDispose]();
      server.close();
      await socket[Symbol.asyncDispose]();
    },
  };
}

async function loadCode() {
  const parts = await Promise.all([
    import("./signing.ts"),
    import("./envoy-types.ts"),
    import("./resources.ts"),
    import("./snapshot.ts"),
    import("./discovery-service.ts"),
    import("./certificate-service.ts"),
    import("./faults.ts"),
    import("./serve-grpc.ts"),
    import("./authenticating.ts"),
  ]);
  const [signing, envoyTypes, resources, snapshot, discovery, certificates, faults, serve, callers] = parts;
  return {
    ...{ ...signing, ...envoyTypes, ...resources, ...snapshot },
    ...{ ...discovery, ...certificates, ...faults, ...serve, ...callers },
  };
}

/** `<time>/<number>`, as istiod counts its pushes. */
function countVersions(): () => string {
  let count = 0;
  return () => `${new Date(systemClock.now()).toISOString()}/${++count}`;
}

async function reloadOrKeep(
  reload: () => Promise<void>,
  log: Logger,
  onNews: (news: ControlPlaneNews) => void,
): Promise<void> {
  try {
    await reload();
    log.info("Reloaded the resources");
  } catch (error) {
    log.error("Cannot reload the resources, keeping what is served", { error: describeError(error) });
    onNews({ kind: "not read", error });
  }
}
