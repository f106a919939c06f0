import { type BoundSocket, describeError, type Lifetime, type Logger, systemClock } from "../base/index.ts";
import { loadEnvoyTypes } from "../proto/envoy-types.ts";
import { createDiscoveryService, type DiscoveryService } from "./ads/discovery-service.ts";
import { createSnapshot, type Snapshot } from "./ads/snapshot.ts";
import { createCertificateHandler } from "./ca/certificate-service.ts";
import { createSigning } from "./ca/signing.ts";
import { requireIdentity } from "./callers/require-identity.ts";
import type { ControlPlaneNews, ControlPlaneOptions, OpenControlPlane } from "./control-plane.ts";
import { createDebug, type Debug } from "./debug/create-debug.ts";
import { serveDebug } from "./debug/serve-debug.ts";
import { createFaults } from "./faults.ts";
import { serveGrpc, servePlaintext } from "./serve-grpc.ts";
import { folderSource } from "./sources/folder-source.ts";
import { recordingSource } from "./sources/recording-source.ts";
import { parseResources } from "./sources/resources.ts";

const DAY_MS = 86_400_000;
const TOKEN_TTL_MS = DAY_MS / 2;

export interface BoundSockets {
  readonly socket: BoundSocket;
  /** Without TLS; undefined where nobody asked for it. */
  readonly plaintext: BoundSocket | undefined;
  /** For HTTP; the same. */
  readonly debug: BoundSocket | undefined;
}

/** Serves both services on the sockets. `life` owns them, and everything that is started here. */
export async function serveControlPlane(
  { socket, plaintext, debug }: BoundSockets,
  life: Lifetime,
  options: ControlPlaneOptions,
  stop: AbortSignal,
): Promise<OpenControlPlane> {
  const { trustDomain = "cluster.local", host = "127.0.0.1", log, onNews = () => undefined } = options;
  const values = { TRUST_DOMAIN: trustDomain, ...options.values };
  const types = loadEnvoyTypes();
  const { resources, isRecording = false } = options;
  const source = isRecording ? recordingSource(resources) : folderSource(resources, values, types);
  const versions = countVersions();
  const readSnapshot = async (): Promise<Snapshot> => createSnapshot(versions(), await source.read());
  const [snapshot, signing] = await Promise.all([readSnapshot(), createSigning({ ...options, trustDomain, host })]);
  stop.throwIfAborted();
  const { tokens } = signing;
  const discovery: DiscoveryService = createDiscoveryService({
    ...{ tokens, trustDomain, snapshot, log },
    debug: (typeUrl, names) => looks.askByType(typeUrl, names),
    onRefusal: (rejection) => onNews({ kind: "refused", rejection }),
  });
  const looks: Debug = createDebug({ discovery, types });
  const faults = createFaults(discovery);
  const createCertificate = createCertificateHandler({
    ...{ tokens, trustDomain, log },
    authority: () => signing.authority(),
    defaultTtlSeconds: Math.round((options.defaultTtlMs ?? DAY_MS) / 1_000),
    forcedTtlSeconds: () => faults.forcedTtlSeconds(),
  });
  const server = serveGrpc({
    ...{ socket, tls: signing.serverTls(), createCertificate, discovery: discovery.handlers },
    admit: requireIdentity({ tokens, trustDomain, log }),
  });
  life.defer("gRPC server", () => server[Symbol.dispose]());
  if (plaintext !== undefined) {
    const open = servePlaintext(plaintext, discovery.anonymousHandlers);
    life.defer("plaintext server", () => open[Symbol.dispose]());
  }
  if (debug !== undefined) await life.own("debug server", serveDebug(debug, looks));
  const tellRead = ({ listeners, names, counts }: Snapshot, isAgain: boolean): void => {
    if (Object.keys(counts).length === 0)
      log.warn("There are no resources; clients will get none", { folder: source.name });
    onNews({
      kind: "read",
      isAgain,
      listeners,
      names: Object.entries(names).map(([host, { shortname }]) => shortname || host),
    });
  };
  const reload = async (): Promise<void> => {
    const next = await readSnapshot();
    discovery.publish(next);
    tellRead(next, true);
  };
  tellRead(snapshot, false);
  const watching = source.watch(() => void reloadOrKeep(reload, log, onNews));
  await life.own("watch of the resources", watching);
  log.info("Control plane is serving", { address: socket.address, resources: source.name });
  return {
    address: socket.address,
    port: socket.port,
    plaintextAddress: plaintext?.address,
    debugAddress: debug?.address,
    get rootPem() {
      return signing.authority().material.roots;
    },
    faults,
    mintToken: (workload, ttlMs = TOKEN_TTL_MS) => tokens.mint(workload, ttlMs),
    reload,
    setResources(text) {
      const groups = parseResources({ file: "resources", text }, values, types);
      discovery.publish(createSnapshot(versions(), groups));
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
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
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
    log.error("Cannot reload the resources; serving the previous ones", { error: describeError(error) });
    onNews({ kind: "not read", error });
  }
}
