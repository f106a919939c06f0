import { dirname, resolve } from "node:path";
import { type BoundSocket, bindUnix, connectionLimit, type Lifetime, oneLine } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import type { ToldReasons } from "../../grpc/index.ts";
import type { IdentityStatus, Secrets, Tokens, XdsIdentity } from "../../identity/index.ts";
import {
  decideSdsSocket,
  type IdentityPlan,
  type KeySource,
  keySpec,
  planIdentity,
  type SocketPlan,
  startKeyGeneration,
} from "../../identity/prepare/index.ts";
import type { Cause } from "../../status/index.ts";
import type { Intercept } from "../../xds/index.ts";
import { type ClaimedFolder, makeRunFolder, runAs, socketAccess } from "../run-folder/index.ts";
import {
  caOptions,
  identitySettings,
  keyProvider,
  keySettings,
  secretsOptions,
  tokensOptions,
  xdsOptions,
} from "./identity-options.ts";
import type { Part, Serving, Surroundings } from "./part.ts";

/** Its rows of the report. */
export interface IdentityReport {
  readonly identity: IdentityStatus | undefined;
  /** How istiod is reached, for whoever asks it what this agent would ask; absent until it is known. */
  readonly controlPlaneAccess?: ControlPlaneAccess;
}

/** Files are absolute paths. */
interface ControlPlaneAccess {
  readonly isPlaintext: boolean;
  /** Absent where the roots of the operating system count. */
  readonly rootFile?: string;
  /** Name to verify in place of that of the address; empty for none. */
  readonly nameOverride: string;
  readonly clientFiles?: { readonly certChain: string; readonly key: string };
  readonly tokenFile: string;
  readonly clusterId: string;
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
  /** Loaded with gRPC. */
  #kindOf: ((text: string) => Cause["kind"] | undefined) | undefined;

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

  /** Why the control plane failed, shared with the relay. Undefined until it is served. */
  get told(): ToldReasons | undefined {
    return this.#told;
  }

  /** Undefined until it is served. */
  status(): IdentityStatus | undefined {
    return this.#secrets?.status();
  }

  /** What is wrong with tokens, certificates, or the way to the CA. */
  troubles(): readonly Cause[] {
    const kindOf = this.#kindOf ?? (() => undefined);
    return (this.status()?.troubles ?? []).map(({ text, ...since }) => ({
      kind: kindOf(text) ?? "certificate",
      text: oneLine(text, "; "),
      ...since,
    }));
  }

  report(): IdentityReport {
    return { identity: this.status(), ...(this.#bound && { controlPlaneAccess: this.#access(this.#bound.plan.xds) }) };
  }

  #access({ isPlaintext, roots, nameOverride, clientFiles }: IdentityPlan["xds"]): ControlPlaneAccess {
    const { cwd } = this.#around.config;
    const { tokenFile, asked } = xdsOptions(this.#around.config);
    return {
      ...{ isPlaintext, nameOverride, tokenFile, clusterId: asked.clusterId },
      ...(roots.kind === "file" && { rootFile: resolve(cwd, roots.path) }),
      ...(clientFiles && {
        clientFiles: { certChain: resolve(cwd, clientFiles.certChain), key: resolve(cwd, clientFiles.key) },
      }),
    };
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
    const [{ ToldReasons, failureKind }, { serveSds, startSecrets, startTokens }] = await Promise.all([
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
    this.#kindOf = failureKind;
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

  /** Secures the connection to istiod. Call it once this part is served. */
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
  const { readFields } = await import("../../proto/wire.ts");
  const roots: string[] = [];
  readFields(bytes, (field, reader) => {
    if (field !== CA_CERTIFICATES_PEM) return false;
    roots.push(reader.string());
    return true;
  });
  return roots;
}
