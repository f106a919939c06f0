import { type Stats, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { AgentError, checkRegularFile, describeError, isAbsent } from "../../base/index.ts";
import { PATHS, refusedProvCert } from "../../istio/index.ts";
import {
  complianceWarnings,
  isPlaintext,
  type NameSetting,
  provisionedFiles,
  type RootSource,
  refuseImpossibleTls,
} from "../tls/control-plane-tls.ts";
import { type CertificateFiles, resolveAll } from "./paths.ts";

/** The words that decide where certificates come from and how CA and istiod are reached. */
export interface IdentitySettings {
  readonly cwd: string;
  /** `CA_ADDR`; empty for the discovery address. */
  readonly caAddress: string;
  readonly discoveryAddress: string;
  /** ProxyConfig `controlPlaneAuthPolicy: NONE`. */
  readonly isXdsPlaintext: boolean;
  readonly caProvider: string;
  /** `CA_ROOT_CA` and `XDS_ROOT_CA`: a path, `SYSTEM`, or empty. */
  readonly caRoot: string;
  readonly xdsRoot: string;
  /** `SSL_CERT_FILE` and `SSL_CERT_DIR`: where the roots of `SYSTEM` are; empty for the known places. */
  readonly sslCertFile?: string;
  readonly sslCertDir?: string;
  readonly pilotCertProvider: string;
  readonly istiodSan: string;
  /** `PROV_CERT`, `OUTPUT_CERTS`: folders, or empty. */
  readonly provCert: string;
  readonly outputCerts: string;
  readonly isFileMountedCerts: boolean;
  /** ProxyConfig metadata `ISTIO_META_TLS_CLIENT_*`, for file-mounted certificates. */
  readonly metadataFiles: Partial<CertificateFiles>;
  /** `COMPLIANCE_POLICY`; empty for none. */
  readonly compliance: string;
  /** Another program serves the workload's secrets; we serve files only. */
  readonly hasExternalSds: boolean;
  /** Envoy has a whole configuration of the user's, which may do without control plane: no root is needed, unless one is named. */
  readonly isControlPlaneOptional: boolean;
}

/** How one end of the control plane is reached. */
export interface ConnectionPlan {
  /** `host:port`. */
  readonly endpoint: string;
  readonly isPlaintext: boolean;
  readonly roots: RootSource;
  readonly nameOverride: string;
  /** Where people say which name is verified. Default `ISTIOD_SAN`. */
  readonly nameSetting?: NameSetting | undefined;
  readonly clientFiles: { readonly certChain: string; readonly key: string } | undefined;
}

export interface IdentityPlan {
  /** Undefined when certificates come from files or from another program. */
  readonly ca: ConnectionPlan | undefined;
  readonly xds: ConnectionPlan;
  /** Certificate files to prefer over the CA, absolute. */
  readonly files: CertificateFiles;
  readonly isFileMounted: boolean;
  /** Facts worth a line in the log, in order. */
  readonly notes: readonly string[];
  /** Settings that cannot be followed, though the start goes on. */
  readonly warnings: readonly string[];
}

/**
 * Decides once, at the start, from words and from which files exist. Rejects with CONFIG_INVALID for words that do
 * not go together or that this runtime cannot do, and with ROOT_CA_UNUSABLE when a root file is missing.
 * Source: istio/istio pkg/istio-agent/agent.go and pilot/cmd/pilot-agent/options/agent.go.
 */
export async function planIdentity(settings: IdentitySettings): Promise<IdentityPlan> {
  const isGke = settings.caProvider === "GkeWorkloadCertificate";
  refuseConflicts(settings);
  const detected = detectFiles(settings, isGke);
  const isFileMounted = settings.isFileMountedCerts || detected !== undefined;
  const plannedCa = isFileMounted || settings.hasExternalSds ? undefined : await planCa(settings);
  const xds = await planXds(settings, isFileMounted);
  const missing = await missingRoots([plannedCa, xds]);
  const ca = missing === undefined ? plannedCa : undefined; // it would be asked again and again
  if (!xds.isPlaintext || ca?.isPlaintext === false) await refuseImpossibleTls(settings.compliance);
  const notes = [
    ...(ca === undefined ? [] : caNotes(ca)),
    ...(detected === undefined ? [] : ["workload certificate files detected"]),
    ...(isFileMounted ? ["Workload is using file mounted certificates"] : []),
  ];
  return {
    ca,
    xds,
    files: detected ?? resolveAll(settings.cwd, PATHS.mounted),
    isFileMounted,
    notes,
    warnings: [...complianceWarnings(settings.compliance), ...(missing === undefined ? [] : [withoutRoots(missing)])],
  };
}

/** The first root file that is not there: only where the control plane is optional does planning come so far. */
async function missingRoots(plans: readonly (ConnectionPlan | undefined)[]): Promise<string | undefined> {
  for (const plan of plans) {
    if (plan?.roots.kind === "file" && (await problemOf(plan.roots.path)) !== undefined) return plan.roots.path;
  }
  return undefined;
}

function withoutRoots(path: string): string {
  return `there is no root certificate at ${path}: customConfigFile runs without certificates and configuration from the control plane`;
}

function caNotes({ endpoint, isPlaintext, roots }: ConnectionPlan): string[] {
  const trust = roots.kind === "system" ? "with system certs" : `with certs: ${roots.path}`;
  return [`CA Endpoint ${endpoint}, provider Citadel`, ...(isPlaintext ? [] : [`Using CA ${endpoint} cert ${trust}`])];
}

function refuseConflicts(settings: IdentitySettings): void {
  const refused = refusedProvCert(settings);
  if (refused !== undefined) throw new AgentError("CONFIG_INVALID", refused.message);
}

function detectFiles(settings: IdentitySettings, isGke: boolean): CertificateFiles | undefined {
  const files = resolveAll(settings.cwd, isGke ? PATHS.gkeFiles : PATHS.workloadFiles);
  const areThere = Object.values(files).every(exists);
  if (isGke) {
    if (areThere) return files;
    throw new AgentError(
      "CONFIG_INVALID",
      `GKE workload certificate files "${Object.values(files).join('", "')}" not present`,
    );
  }
  const output = settings.outputCerts === "" ? undefined : resolve(settings.cwd, settings.outputCerts);
  // our own copies of an earlier run are no files that somebody provides
  return areThere && output !== resolve(files.root, "..") ? files : undefined;
}

async function planCa(settings: IdentitySettings): Promise<ConnectionPlan> {
  const endpoint = settings.caAddress === "" ? settings.discoveryAddress : settings.caAddress;
  const provider = endpoint.includes("googleapis.com") ? "GoogleCA" : settings.caProvider;
  if (provider !== "Citadel") throw new AgentError("CONFIG_INVALID", `CA provider "${provider}" not registered`);
  return {
    endpoint,
    isPlaintext: isPlaintext(endpoint),
    roots: isPlaintext(endpoint) ? systemRoots(settings) : await findCaRoots(settings),
    nameOverride: settings.caAddress === "" ? settings.istiodSan : "",
    nameSetting: settings.caAddress === "" ? "ISTIOD_SAN" : "CA_ADDR",
    clientFiles: provCertFiles(settings),
  };
}

async function findCaRoots(settings: IdentitySettings): Promise<RootSource> {
  const { cwd, caRoot, pilotCertProvider, provCert } = settings;
  if (caRoot === "SYSTEM") return systemRoots(settings);
  if (caRoot !== "") return existing("CA", resolve(cwd, caRoot));
  if (pilotCertProvider === "custom") return existing("CA", resolve(cwd, PATHS.mounted.root));
  if (provCert !== "") {
    const path = join(resolve(cwd, provCert), "root-cert.pem");
    const problem = await problemOf(path);
    if (problem === undefined) return { kind: "file", path };
    throw new AgentError(
      "ROOT_CA_UNUSABLE",
      `PROV_CERT "${provCert}" is set, but missing a root certificate: cannot read "${path}": ${describeError(problem)}`,
    );
  }
  return defaultRoots("CA", settings);
}

async function planXds(settings: IdentitySettings, isFileMounted: boolean): Promise<ConnectionPlan> {
  const { cwd, metadataFiles, discoveryAddress, istiodSan, isXdsPlaintext } = settings;
  const { certChain, key } = metadataFiles;
  const mounted =
    isFileMounted && certChain !== undefined && key !== undefined
      ? { certChain: resolve(cwd, certChain), key: resolve(cwd, key) }
      : undefined;
  return {
    endpoint: discoveryAddress,
    isPlaintext: isXdsPlaintext,
    roots: isXdsPlaintext ? systemRoots(settings) : await findXdsRoots(settings, isFileMounted),
    nameOverride: istiodSan,
    clientFiles: provCertFiles(settings) ?? mounted,
  };
}

async function findXdsRoots(settings: IdentitySettings, isFileMounted: boolean): Promise<RootSource> {
  const { cwd, xdsRoot, provCert, metadataFiles } = settings;
  if (xdsRoot === "SYSTEM") return systemRoots(settings);
  if (xdsRoot !== "") return existing("XDS", resolve(cwd, xdsRoot));
  const mounted = resolve(cwd, PATHS.mounted.root);
  if (isFile(mounted)) return { kind: "file", path: mounted };
  if (provCert !== "") return { kind: "file", path: join(resolve(cwd, provCert), "root-cert.pem") };
  // without that key the reference looks for a file without a name and ends; the usual root is a better guess
  if (isFileMounted && metadataFiles.root !== undefined) return existing("XDS", resolve(cwd, metadataFiles.root));
  return defaultRoots("XDS", settings);
}

async function defaultRoots(use: "CA" | "XDS", settings: IdentitySettings): Promise<RootSource> {
  const { cwd, pilotCertProvider } = settings;
  if (settings.isControlPlaneOptional) return { kind: "file", path: resolve(cwd, PATHS.controlPlaneRoot) };
  if (pilotCertProvider === "none") {
    throw new AgentError("CONFIG_INVALID", `root CA file for ${use} required, but configured provider as none`);
  }
  return existing(use, resolve(cwd, PATHS.controlPlaneRoot));
}

async function existing(use: "CA" | "XDS", path: string): Promise<RootSource> {
  const problem = await problemOf(path);
  if (problem === undefined) return { kind: "file", path };
  const found = isAbsent(problem) ? path : `${path}: ${describeError(problem)}`; // the reference's words for both
  throw new AgentError("ROOT_CA_UNUSABLE", `root CA file for ${use} does not exist ${found}`, {
    hint: `Mount the control plane's root certificate there, or name another one with ${use}_ROOT_CA`,
  });
}

function provCertFiles({ cwd, provCert }: IdentitySettings): ConnectionPlan["clientFiles"] {
  return provCert === "" ? undefined : provisionedFiles(resolve(cwd, provCert));
}

function exists(path: string): boolean {
  return lookAt(path) !== undefined;
}

/** As the reference does: what is not a file does not count. */
function isFile(path: string): boolean {
  return lookAt(path)?.isFile() === true;
}

/** Behind links; undefined for whatever keeps us from seeing it. */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Why that is no file that can be read. It is read anew for each connection. */
async function problemOf(path: string): Promise<unknown> {
  return checkRegularFile(path).then(
    () => undefined,
    (error: unknown) => error,
  );
}

function systemRoots({ cwd, sslCertFile = "", sslCertDir = "" }: IdentitySettings): RootSource {
  if (sslCertFile === "" && sslCertDir === "") return { kind: "system" };
  return { kind: "system", places: { cwd, certFile: sslCertFile, certFolders: sslCertDir } };
}
