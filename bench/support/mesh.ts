import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Signer, startFakeCa } from "../../test/support/fake-ca.ts";
import { freePorts } from "../../test/support/ports.ts";
import { childrenOf } from "../../test/support/processes.ts";
import { createTestCa } from "../../test/support/test-ca.ts";
import { type SourceOrders, startAdsSource } from "./ads-source.ts";
import { ask, GIVE_UP_MS, nextMillisecond } from "./ask.ts";
import type { Form } from "./forms.ts";
import { nowNs } from "./grpc-wire.ts";
import type { RoleProcess } from "./roles.ts";

/** A synthetic mesh: a control plane and a CA, to which agents of any form are connected. */
export interface Mesh extends AsyncDisposable {
  readonly source: RoleProcess<SourceOrders>;
  /** Of the source. */
  readonly port: number;
  readonly rootPem: string;
  startAgent(form: Form, options?: AgentOptions): Promise<Agent>;
  /** When the CA's newest certificate was ready, on the clock of `nowNs`; 0 before the first. */
  lastSignedNs(): number;
}

export interface AgentOptions {
  /** Default: a small program in Envoy's place, which is live at once. */
  readonly envoy?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  /** After `proxy sidecar`. */
  readonly words?: readonly string[];
}

/** An agent that is ready, in a folder of its own. Disposing ends it and its Envoy. */
export interface Agent extends AsyncDisposable {
  readonly pid: number;
  readonly folder: string;
  readonly statusPort: number;
  readonly dnsPort: number;
  readonly xdsSocket: string;
  readonly sdsSocket: string;
}

const FAKE_ENVOY = resolve("test/fixtures/fake-envoy");
const NAMES = ["istiod.istio-system.svc", "localhost"];

const DAY_MS = 86_400_000;

export interface MeshOptions {
  /** How long certificates live. Default: a day. */
  readonly certificateMs?: number;
}

export async function startMesh({ certificateMs = DAY_MS }: MeshOptions = {}): Promise<Mesh> {
  const tlsCa = await createTestCa();
  const ca = await startFakeCa({ tlsCa, dns: NAMES });
  let signedNs = 0;
  const signer: Signer = {
    rootPem: ca.signer.rootPem,
    async sign(csr) {
      const pem = await ca.signer.sign(csr, { lifeMs: certificateMs, notBefore: new Date() });
      signedNs = nowNs();
      return pem;
    },
  };
  ca.behaviour = { kind: "sign", signer };
  const source = await startAdsSource(await tlsCa.issue({ dns: NAMES }));
  const places = { discovery: await source.call("port", null), ca: ca.port, rootPem: ca.tlsRootPem };
  return {
    source,
    port: places.discovery,
    rootPem: places.rootPem,
    startAgent: (form, options = {}) => startAgent(form, places, options),
    lastSignedNs: () => signedNs,
    async [Symbol.asyncDispose]() {
      source[Symbol.dispose]();
      await ca[Symbol.asyncDispose]();
    },
  };
}

interface Places {
  readonly discovery: number;
  readonly ca: number;
  readonly rootPem: string;
}

async function startAgent(form: Form, places: Places, options: AgentOptions): Promise<Agent> {
  const folder = await mkdtemp(join(tmpdir(), "pb-bench-"));
  await writeIn(folder, "var/run/secrets/tokens/istio-token", unsignedToken());
  await writeIn(folder, "var/run/secrets/istio/root-cert.pem", places.rootPem);
  await writeIn(folder, "etc/istio/pod/labels", 'app="bench"\n');
  await writeIn(folder, "etc/istio/pod/annotations", 'bench="true"\n');
  if (form.template !== undefined) {
    await writeIn(folder, TEMPLATE, "");
    await copyFile(form.template, join(folder, TEMPLATE));
  }
  const [admin = 0, status = 0, envoyStatus = 0, prometheus = 0, dns = 0] = await freePorts(5);
  const proxyConfig = {
    discoveryAddress: `localhost:${places.discovery}`,
    binaryPath: options.envoy ?? FAKE_ENVOY,
    ...{ statusPort: status, proxyAdminPort: admin, concurrency: 2, terminationDrainDuration: "0s" },
    ...options.proxyConfig,
  };
  const env = {
    ...{ PATH: process.env.PATH ?? "", HOME: folder, PROXY_CONFIG: JSON.stringify(proxyConfig) },
    ...{ POD_NAME: "bench-0", POD_NAMESPACE: "default", INSTANCE_IP: "127.0.0.1", HOST_IP: "127.0.0.1" },
    ...{ SERVICE_ACCOUNT: "default", TRUST_DOMAIN: "cluster.local", CA_ADDR: `localhost:${places.ca}` },
    ...{ PILOT_CERT_PROVIDER: "istiod", JWT_POLICY: "third-party-jwt", CLOUD_PLATFORM: "none" },
    ...{ ISTIO_META_CLUSTER_ID: "Kubernetes", ISTIO_META_WORKLOAD_NAME: "bench", ISTIO_META_MESH_ID: "cluster.local" },
    ...{ ENVOY_STATUS_PORT: String(envoyStatus), ENVOY_PROMETHEUS_PORT: String(prometheus) },
    DNS_PROXY_ADDR: `127.0.0.1:${dns}`,
    ...options.env,
  };
  const [file = "", ...words] = form.command;
  const all = [...words, "proxy", "sidecar", ...(options.words ?? [])];
  const child = spawn(file, all, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  const said = lastWords(child);
  const dispose = async (): Promise<void> => {
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await untilReady(child, status);
  } catch (error) {
    await dispose();
    throw new Error(`${form.name} did not become ready:\n${said()}`, { cause: error });
  }
  return {
    ...{ pid: child.pid ?? 0, folder, statusPort: status, dnsPort: dns },
    xdsSocket: join(folder, "etc/istio/proxy/XDS"),
    sdsSocket: join(folder, "var/run/secrets/workload-spiffe-uds/socket"),
    [Symbol.asyncDispose]: dispose,
  };
}

/** Where pilot-agent looks for the bootstrap that it fills in, in its working directory. */
const TEMPLATE = "var/lib/istio/envoy/envoy_bootstrap_tmpl.json";

async function writeIn(folder: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

/** A well-formed JWT that nobody verifies. */
function unsignedToken(): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const nowS = Math.floor(Date.now() / 1_000);
  const claims = { iss: "bench", aud: ["istio-ca"], sub: "system:serviceaccount:default:default", iat: nowS };
  return [part({ alg: "RS256", typ: "JWT" }), part({ ...claims, exp: nowS + 86_400 }), part("unsigned")].join(".");
}

/** Reads both outputs, as a container runtime does, and keeps their ends for a failure. */
function lastWords(child: ChildProcess): () => string {
  let text = "";
  for (const output of [child.stdout, child.stderr]) {
    output?.setEncoding("utf8").on("data", (more: string) => {
      text = (text + more).slice(-4_000);
    });
  }
  return () => text;
}

async function untilReady(child: ChildProcess, statusPort: number): Promise<void> {
  const limitMs = performance.now() + GIVE_UP_MS;
  while ((await ask(statusPort, "/healthz/ready")) !== 200) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    if (performance.now() > limitMs) throw new Error(`not within ${GIVE_UP_MS / 1_000} s`);
    await nextMillisecond();
  }
}

/** With its Envoy, which outlives an agent that has to be killed. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const tooLate = setTimeout(() => {
    const envoys = childrenOf(child.pid ?? 0);
    child.kill("SIGKILL");
    for (const pid of envoys) process.kill(pid, "SIGKILL");
  }, STOP_LIMIT_MS);
  child.kill("SIGTERM");
  await ended;
  clearTimeout(tooLate);
}

const STOP_LIMIT_MS = 10_000;
