import { dirname, resolve } from "node:path";
import { type BoundSocket, bindUnix, connectionLimit, type Lifetime, toMs } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import type { ToldReasons } from "../../grpc/index.ts";
import type {
  IdentityStatus,
  KeyProvider,
  Secrets,
  SecretsOptions,
  Tokens,
  TokensOptions,
  XdsIdentity,
} from "../../identity/index.ts";
import {
  decideSdsSocket,
  type IdentityPlan,
  type IdentitySettings,
  type KeySettings,
  type KeySource,
  keySpec,
  planIdentity,
  type SocketPlan,
  startKeyGeneration,
} from "../../identity/prepare/index.ts";
import { PATHS } from "../../istio/index.ts";
import type { Intercept } from "../../xds/index.ts";
import { type ClaimedFolder, makeRunFolder, runAs, socketAccess } from "../run-folder/index.ts";
import type { Part, Serving, Surroundings } from "./part.ts";

/** Its rows of the report. */
export interface IdentityReport {
  readonly identity: IdentityStatus | undefined;
}

/** What is there once it is bound. */
interface Bound {
  readonly keys: KeySource;
  readonly place: SocketPlan;
  readonly plan: IdentityPlan;
  /** Undefined without Envoy, whose question for certificates it answers. */
  readonly socket: BoundSocket | undefined;
}

/** Certificates, their SDS server, and the identity of the connection to istiod. */
export class IdentityPart implements Part {
  readonly intercepts: Readonly<Record<string, Intercept>>;
  readonly #around: Surroundings;
  #bound: Bound | undefined;
  #tokens: Tokens | undefined;
  #secrets: Secrets | undefined;
  #told: ToldReasons | undefined;

  constructor(around: Surroundings) {
    this.#around = around;
    this.intercepts = around.config.settings.isProxyConfigOverXds
      ? { [PROXY_CONFIG_TYPE]: async (bytes) => this.#secrets?.setExtraRoots(await readRoots(bytes)) }
      : {};
  }

  /** Another program serves the workload's secrets; ours are files only. Known once it is bound. */
  get hasExternalSds(): boolean {
    return this.#bound?.place.isFilesOnly ?? false;
  }

  /** What it and the relay tell each other of the control plane, once it is served. */
  get told(): ToldReasons | undefined {
    return this.#told;
  }

  /** Undefined until it is served. */
  status(): IdentityStatus | undefined {
    return this.#secrets?.status();
  }

  report(): IdentityReport {
    return { identity: this.status() };
  }

  lasting(config: AgentConfig): Record<string, unknown> {
    return {
      ...identitySettings(config, false),
      ...keySettings(config),
      keyProvider: keyProvider(config),
      tokens: tokensOptions(config),
      secrets: secretsOptions(config),
      ca: caOptions(config),
      socket: [config.settings.workloadSocketFile, socketAccess(config)],
      isProxyConfigOverXds: config.settings.isProxyConfigOverXds,
    };
  }

  async bind(life: Lifetime, folder: Promise<ClaimedFolder>): Promise<void> {
    const { config, context } = this.#around;
    const keys = await life.own("keys", startKeyGeneration(keySpec(keySettings(config)))); // on another thread, the longest of all
    const place = await decideSdsSocket({ cwd: config.cwd, fileName: config.settings.workloadSocketFile });
    await folder;
    const socket = config.settings.isEnvoyDisabled ? undefined : await this.#listen(life, place);
    if (place.isFilesOnly) context.log.info("Existing workload SDS socket found, serving file certificates only");
    const plan = await planIdentity(identitySettings(config, place.isFilesOnly));
    for (const note of plan.notes) context.log.info(note);
    this.#bound = { keys, place, plan, socket };
  }

  async #listen(life: Lifetime, { path, folderMode }: SocketPlan): Promise<BoundSocket> {
    const { config } = this.#around;
    const owner = runAs(config, process.getuid?.());
    await life.own("sds folder", makeRunFolder(dirname(path), { mode: folderMode, owner }));
    return life.own("sds socket", bindUnix(path, { ...socketAccess(config), folderMode, limit: connectionLimit() }));
  }

  async serve({ life }: Serving): Promise<void> {
    const { plan, keys, socket, place } = this.#mustBeBound();
    const { config, context, metrics, timeline } = this.#around;
    const { log } = context;
    for (const warning of plan.warnings) log.warn(warning);
    const [{ ToldReasons }, { serveSds, startSecrets, startTokens }] = await Promise.all([
      import("../../grpc/index.ts"),
      import("../../identity/index.ts"),
    ]);
    const never = new AbortController().signal; // a draining Envoy still needs certificates: only disposal ends these
    const tokens = await life.own("tokens", startTokens({ ...tokensOptions(config), log, metrics }, never));
    const told = new ToldReasons();
    const secrets = await life.own(
      "secrets",
      startSecrets(
        {
          ...{ keys, tokens, told, log, metrics, files: plan.files, ...secretsOptions(config) },
          ca: plan.ca && { ...plan.ca, ...caOptions(config) },
        },
        never,
      ),
    );
    this.#tokens = tokens;
    this.#told = told;
    this.#secrets = secrets;
    if (socket === undefined) return;
    const provider = keyProvider(config);
    await life.own(
      "sds",
      serveSds({
        ...{ socket, secrets, log, metrics },
        isFilesOnly: place.isFilesOnly,
        onSent: () => timeline.mark("first secret sent"),
        ...(provider === undefined ? {} : { keyProvider: provider }),
      }),
    );
  }

  /** How the connection to istiod is secured; to be asked once this part is served. */
  async credentials(life: Lifetime): Promise<XdsIdentity> {
    const { config, context } = this.#around;
    const { plan } = this.#mustBeBound();
    if (this.#tokens === undefined) throw new Error("asked before it was served");
    const { xdsIdentity } = await import("../../identity/index.ts");
    const tokens = this.#tokens;
    return life.own("xds identity", xdsIdentity({ ...xdsOptions(config), plan: plan.xds, tokens, log: context.log }));
  }

  #mustBeBound(): Bound {
    if (this.#bound === undefined) throw new Error("served before it was bound");
    return this.#bound;
  }
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

function identitySettings({ cwd, proxy, settings }: AgentConfig, hasExternalSds: boolean): IdentitySettings {
  const { proxyMetadata } = proxy;
  const file = (name: string): string | undefined => proxyMetadata[`ISTIO_META_TLS_CLIENT_${name}`];
  const files = { certChain: file("CERT_CHAIN"), key: file("KEY"), root: file("ROOT_CERT") };
  return {
    cwd,
    caAddress: settings.caAddress,
    discoveryAddress: proxy.discoveryAddress,
    isXdsPlaintext: proxy.controlPlaneAuthPolicy === "NONE",
    caProvider: settings.caProvider,
    caRoot: settings.caRoot,
    sslCertFile: settings.sslCertFile,
    sslCertDir: settings.sslCertDir,
    xdsRoot: settings.xdsRoot,
    pilotCertProvider: settings.pilotCertProvider,
    istiodSan: settings.istiodSan,
    provCert: settings.provCert,
    outputCerts: settings.outputCerts,
    isFileMountedCerts: settings.isFileMountedCerts,
    compliance: settings.compliancePolicy,
    metadataFiles: Object.fromEntries(Object.entries(files).filter(([, path]) => path !== undefined)),
    hasExternalSds,
    isControlPlaneOptional: proxy.customConfigFile !== "",
  };
}

function keySettings({ settings }: AgentConfig): KeySettings {
  const { rsaKeySize, eccAlgorithm, eccCurve, isPkcs8 } = settings;
  return { rsaKeySize, eccAlgorithm, eccCurve, isPkcs8 };
}

/** `privateKeyProvider`, in the form that the SDS server takes. */
function keyProvider({ proxy }: AgentConfig): KeyProvider | undefined {
  const { cryptomb, qat } = proxy.privateKeyProvider ?? {};
  const method = cryptomb ?? qat;
  if (method === undefined) return undefined;
  const kind = cryptomb === undefined ? "qat" : "cryptomb";
  return { kind, pollDelayMs: toMs(method.pollDelay ?? 0n), fallback: method.fallback ?? false };
}

function tokensOptions({ cwd, settings }: AgentConfig): Omit<TokensOptions, "log" | "metrics"> {
  return {
    fetcher: settings.credentialFetcher,
    path: resolve(cwd, PATHS.token),
    trustDomain: settings.trustDomain,
    ...(settings.gceMetadataHost === "" ? {} : { gceMetadataHost: settings.gceMetadataHost }),
  };
}

/** What the CA client is told beside its plan. */
function caOptions({ cwd, settings, caHeaders, egressProxy }: AgentConfig) {
  return {
    compliance: settings.compliancePolicy,
    tokenFile: resolve(cwd, PATHS.token),
    clusterId: settings.clusterId,
    certSigner: settings.certSigner,
    headers: caHeaders,
    proxy: egressProxy,
    ttlSeconds: Math.trunc(settings.secretTtlMs / 1_000),
    attemptMs: settings.caRequestTimeoutMs,
  };
}

function xdsOptions({ cwd, settings, egressProxy }: AgentConfig) {
  return {
    compliance: settings.compliancePolicy,
    proxy: egressProxy,
    asked: {
      namespace: settings.podNamespace,
      serviceAccount: settings.serviceAccount,
      clusterId: settings.clusterId,
    },
    tokenFile: resolve(cwd, PATHS.token),
  };
}

function secretsOptions({ cwd, settings }: AgentConfig) {
  return {
    cwd,
    identity: {
      trustDomain: settings.trustDomain,
      namespace: settings.podNamespace,
      serviceAccount: settings.serviceAccount,
      isAnyTaken: settings.isAnyIdentityTaken,
    },
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
  } satisfies Partial<SecretsOptions>;
}
