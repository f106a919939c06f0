import { resolve } from "node:path";
import { type BoundSocket, Lifetime, type Logger, type Metrics, type Timeline } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { ToldReasons } from "../grpc/index.ts";
import {
  type IdentityStatus,
  type SdsOptions,
  type Secrets,
  serveSds,
  startSecrets,
  startTokens,
  xdsIdentity,
} from "../identity/index.ts";
import type { IdentityPlan, KeySource } from "../identity/prepare/index.ts";
import { PATHS } from "../istio/index.ts";
import { type LeftOut, type SubstitutedWasm, serveXdsRelay } from "../xds/index.ts";
import * as options from "./room-options.ts";
import { hasOwnDocument } from "./start-envoy/index.ts";

/** What the agent listens on, bound before anything serves it. */
export interface Sockets {
  /** Undefined where the status port is 0. */
  readonly status: BoundSocket | undefined;
  readonly xds: BoundSocket;
  /** Undefined without Envoy, whose question for certificates it answers. */
  readonly sds: BoundSocket | undefined;
}

export interface IdentityParts {
  readonly config: AgentConfig;
  readonly plan: IdentityPlan;
  readonly keys: KeySource;
  readonly sockets: Sockets;
  readonly timeline: Timeline;
  /** Another program serves the workload's secrets; ours are files only. */
  readonly isFilesOnly: boolean;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** How many Envoys may use the relay at the same time; none where gRPC clients do instead. */
  readonly envoys: () => number;
}

/** Certificates, their SDS server, and the xDS relay. */
export interface ServedIdentity extends AsyncDisposable {
  identity(): IdentityStatus;
  /** Why an Envoy that came up now would get no configuration; undefined while all is well, or was never asked. */
  whyNoControlPlane(): string | undefined;
  /** How the connection to the control plane stands, in one word or the reason of its failure. */
  controlPlane(): string;
  /** What Envoy refuses and what can be done about it, or why the control plane refuses the agent; undefined when neither does. */
  describeRefusal(): string | undefined;
  /** The filters that Envoy was sent its configuration without. */
  leftOut(): readonly LeftOut[];
  /** The remote Wasm modules that Envoy goes without. */
  substitutedWasm(): readonly SubstitutedWasm[];
  /** Why Envoy may lack certificates or configuration, in one line; undefined when all is well. */
  describeTrouble(): string | undefined;
}

/** Serves Envoy what it needs of the control plane. Resolves when both sockets are answered. */
export async function serveIdentity(parts: IdentityParts, stop: AbortSignal): Promise<ServedIdentity> {
  const life = new Lifetime();
  try {
    return await assemble(parts, stop, life);
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
}

async function assemble(parts: IdentityParts, stop: AbortSignal, life: Lifetime): Promise<ServedIdentity> {
  const { config, plan, sockets, log, metrics } = parts;
  const { settings } = config;
  for (const warning of plan.warnings) log.warn(warning);
  const never = new AbortController().signal; // a draining Envoy still needs certificates: only disposal ends these
  const tokens = await life.own("tokens", startTokens(tokensOptions(config, log, metrics), never));
  const told = new ToldReasons();
  const secrets = await life.own("secrets", startSecrets({ ...secretsOptions(parts), tokens, told }, never));
  const sds = sockets.sds && life.own("sds", serveSds(sdsOptions(parts, sockets.sds, secrets)));
  const credentials = await life.own(
    "xds identity",
    xdsIdentity({
      ...{ plan: plan.xds, compliance: settings.compliancePolicy, tokens, log, proxy: config.egressProxy },
      asked: {
        namespace: settings.podNamespace,
        serviceAccount: settings.serviceAccount,
        clusterId: settings.clusterId,
      },
      tokenFile: resolve(config.cwd, PATHS.token),
    }),
  );
  const relay = life.own(
    "xds",
    serveXdsRelay(
      {
        socket: sockets.xds,
        upstream: {
          address: config.proxy.discoveryAddress,
          credentials,
          clusterId: settings.clusterId,
          headers: config.xdsHeaders,
          proxy: config.egressProxy,
        },
        intercept: settings.isProxyConfigOverXds
          ? { [PROXY_CONFIG_TYPE]: async (bytes) => secrets.setExtraRoots(await readRoots(bytes)) }
          : {},
        maxRequestBytes: settings.maxRequestBytes,
        maxStreams: settings.maxStreams,
        envoys: parts.envoys,
        maxClients: settings.maxXdsClients,
        stockEnvoy: settings.stockEnvoy,
        isWasmConverted: settings.isWasmConversionEnabled,
        keepalive: { intervalMs: settings.keepaliveIntervalMs, timeoutMs: settings.keepaliveTimeoutMs },
        told,
        onRequest: () => parts.timeline.mark("first xds request"),
        log,
        metrics,
      },
      stop,
    ),
  );
  const [xds] = await Promise.all([relay, sds]);
  return {
    identity: () => secrets.status(),
    whyNoControlPlane() {
      const { kind } = xds.state().upstream;
      if (kind === "connected" || kind === "responding") return undefined;
      return kind === "idle" && !hasOwnDocument(config) ? undefined : (xds.describeTrouble() ?? kind);
    },
    controlPlane: () => xds.describeState(),
    describeRefusal: () => xds.describeRefusal() ?? xds.describeDenial(),
    leftOut: () => xds.leftOut(),
    substitutedWasm: () => xds.substitutedWasm(),
    describeTrouble() {
      const { upstream } = xds.state();
      const reason = "failure" in upstream ? upstream.failure?.reason : undefined;
      const others = secrets.status().troubles.filter((trouble) => reason === undefined || !trouble.includes(reason));
      const troubles = [xds.describeTrouble(), ...others].filter((one) => one !== undefined);
      return troubles.length === 0 ? undefined : troubles.join("; ");
    },
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}

/** The agent's own subscription, with PROXY_CONFIG_XDS_AGENT. */
const PROXY_CONFIG_TYPE = "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig";
/** Source: istio/api mesh/v1alpha1/proxy.proto. */
const CA_CERTIFICATES_PEM = 34;

/** `ca_certificates_pem` of a binary ProxyConfig; nothing else of it is used. Throws for what is no message. */
async function readRoots(bytes: Uint8Array): Promise<string[]> {
  const { BinaryReader } = await import("@bufbuild/protobuf/wire");
  const reader = new BinaryReader(bytes);
  const roots: string[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === CA_CERTIFICATES_PEM) roots.push(reader.string());
    else reader.skip(wireType, field);
  }
  return roots;
}

function sdsOptions(parts: IdentityParts, socket: BoundSocket, secrets: Secrets): SdsOptions {
  const { config, isFilesOnly, log, metrics, timeline } = parts;
  const keyProvider = options.keyProvider(config);
  return {
    socket,
    secrets,
    isFilesOnly,
    onSent: () => timeline.mark("first secret sent"),
    log,
    metrics,
    ...(keyProvider === undefined ? {} : { keyProvider }),
  };
}

function tokensOptions({ cwd, settings }: AgentConfig, log: Logger, metrics: Metrics) {
  return {
    fetcher: settings.credentialFetcher,
    path: resolve(cwd, PATHS.token),
    trustDomain: settings.trustDomain,
    ...(settings.gceMetadataHost === "" ? {} : { gceMetadataHost: settings.gceMetadataHost }),
    log,
    metrics,
  };
}

function secretsOptions({ config, plan, keys, log, metrics }: IdentityParts) {
  const { cwd, settings, caHeaders, egressProxy } = config;
  return {
    cwd,
    keys,
    ca:
      plan.ca === undefined
        ? undefined
        : {
            ...plan.ca,
            compliance: settings.compliancePolicy,
            tokenFile: resolve(cwd, PATHS.token),
            clusterId: settings.clusterId,
            certSigner: settings.certSigner,
            headers: caHeaders,
            proxy: egressProxy,
            ttlSeconds: Math.trunc(settings.secretTtlMs / 1_000),
            attemptMs: settings.caRequestTimeoutMs,
          },
    identity: {
      trustDomain: settings.trustDomain,
      namespace: settings.podNamespace,
      serviceAccount: settings.serviceAccount,
      isAnyTaken: settings.isAnyIdentityTaken,
    },
    files: plan.files,
    output:
      settings.outputCerts === ""
        ? undefined
        : {
            folder: resolve(cwd, settings.outputCerts),
            mode: settings.kubernetesServiceHost === "" ? 0o600 : 0o644,
          },
    crlFile: settings.isCrlEnabled ? PATHS.crl : undefined,
    rotation: { ratio: settings.gracePeriodRatio, jitter: settings.gracePeriodJitter },
    debounceMs: settings.fileDebounceMs,
    log,
    metrics,
  };
}
