import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { freePorts } from "../../test/support/ports.ts";
import { childrenOf } from "../../test/support/processes.ts";
import { ask, GIVE_UP_MS, pause } from "./ask.ts";
import type { Form } from "./forms.ts";

/** Where an agent finds its control plane, and by what that knows it. */
export interface Places {
  /** Port of the discovery server. */
  readonly discovery: number;
  /** Port of the CA. */
  readonly ca: number;
  readonly rootPem: string;
  readonly token: string;
}

export interface AgentOptions {
  /** Default: a small program in Envoy's place, which is live at once. */
  readonly envoy?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  /** After `proxy sidecar`. */
  readonly words?: readonly string[];
}

/** An agent in a folder of its own. Disposing ends it and its Envoy. */
export interface Agent extends AsyncDisposable {
  readonly pid: number;
  readonly folder: string;
  readonly statusPort: number;
  readonly adminPort: number;
  readonly dnsPort: number;
  readonly xdsSocket: string;
  readonly sdsSocket: string;
}

/** An agent whose process has just been started. */
export interface LaunchedAgent extends Agent {
  /** On the clock of `performance.now()`. */
  readonly startedMs: number;
  /** Settles with the end of the process: its time on the same clock. */
  readonly gone: Promise<number>;
  /** Resolves with the time at which `/healthz/ready` said 200, looked for every `everyMs`; rejects with its last words. */
  ready(everyMs: number): Promise<number>;
}

/** Resolves when it is ready. */
export async function startAgent(form: Form, places: Places, options: AgentOptions): Promise<Agent> {
  const agent = await launchAgent(form, places, options);
  try {
    await agent.ready(1);
  } catch (error) {
    await agent[Symbol.asyncDispose]();
    throw error;
  }
  return agent;
}

export async function launchAgent(form: Form, places: Places, options: AgentOptions): Promise<LaunchedAgent> {
  const folder = await makeFolder(form, places);
  const ports = await choosePorts();
  const [file = "", ...words] = form.command;
  const all = [...words, "proxy", "sidecar", ...(options.words ?? [])];
  const env = environment({ folder, ports, places, options });
  const startedMs = performance.now();
  const child = spawn(file, all, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  const gone = new Promise<number>((resolve) => child.once("exit", () => resolve(performance.now())));
  const said = lastWords(child);
  return {
    ...{ pid: child.pid ?? 0, folder, startedMs, gone },
    ...{ statusPort: ports.status, adminPort: ports.admin, dnsPort: ports.dns },
    xdsSocket: join(folder, "etc/istio/proxy/XDS"),
    sdsSocket: join(folder, "var/run/secrets/workload-spiffe-uds/socket"),
    async ready(everyMs) {
      try {
        return await untilReady(child, ports.status, everyMs);
      } catch (error) {
        throw new Error(`${form.name} did not become ready:\n${said()}`, { cause: error });
      }
    },
    async [Symbol.asyncDispose]() {
      await end(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Where pilot-agent looks for the bootstrap that it fills in, in its working directory. */
const TEMPLATE = "var/lib/istio/envoy/envoy_bootstrap_tmpl.json";

async function makeFolder({ template }: Form, { token, rootPem }: Places): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pb-bench-"));
  await writeIn(folder, "var/run/secrets/tokens/istio-token", token);
  await writeIn(folder, "var/run/secrets/istio/root-cert.pem", rootPem);
  await writeIn(folder, "etc/istio/pod/labels", 'app="bench"\n');
  await writeIn(folder, "etc/istio/pod/annotations", 'bench="true"\n');
  if (template !== undefined) {
    await writeIn(folder, TEMPLATE, "");
    await copyFile(template, join(folder, TEMPLATE));
  }
  return folder;
}

async function writeIn(folder: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

interface Ports {
  readonly admin: number;
  readonly status: number;
  readonly envoyStatus: number;
  readonly prometheus: number;
  readonly dns: number;
}

async function choosePorts(): Promise<Ports> {
  const [admin = 0, status = 0, envoyStatus = 0, prometheus = 0, dns = 0] = await freePorts(5);
  return { admin, status, envoyStatus, prometheus, dns };
}

const FAKE_ENVOY = resolve("test/fixtures/fake-envoy");

interface Surroundings {
  readonly folder: string;
  readonly ports: Ports;
  readonly places: Places;
  readonly options: AgentOptions;
}

function environment({ folder, ports, places, options }: Surroundings): Record<string, string> {
  const proxyConfig = {
    discoveryAddress: `localhost:${places.discovery}`,
    binaryPath: options.envoy ?? FAKE_ENVOY,
    ...{ statusPort: ports.status, proxyAdminPort: ports.admin, concurrency: 2, terminationDrainDuration: "0s" },
    ...options.proxyConfig,
  };
  return {
    ...{ PATH: process.env.PATH ?? "", HOME: folder, PROXY_CONFIG: JSON.stringify(proxyConfig) },
    ...{ POD_NAME: "bench-0", POD_NAMESPACE: "default", INSTANCE_IP: "127.0.0.1", HOST_IP: "127.0.0.1" },
    ...{ SERVICE_ACCOUNT: "default", TRUST_DOMAIN: "cluster.local", CA_ADDR: `localhost:${places.ca}` },
    ...{ PILOT_CERT_PROVIDER: "istiod", JWT_POLICY: "third-party-jwt", CLOUD_PLATFORM: "none" },
    ...{ ISTIO_META_CLUSTER_ID: "Kubernetes", ISTIO_META_WORKLOAD_NAME: "bench", ISTIO_META_MESH_ID: "cluster.local" },
    ...{ ENVOY_STATUS_PORT: String(ports.envoyStatus), ENVOY_PROMETHEUS_PORT: String(ports.prometheus) },
    DNS_PROXY_ADDR: `127.0.0.1:${ports.dns}`,
    ...options.env,
  };
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

async function untilReady(child: ChildProcess, statusPort: number, everyMs: number): Promise<number> {
  const limitMs = performance.now() + GIVE_UP_MS;
  while ((await ask(statusPort, "/healthz/ready")) !== 200) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`);
    }
    if (performance.now() > limitMs) throw new Error(`not within ${GIVE_UP_MS / 1_000} s`);
    await pause(everyMs);
  }
  return performance.now();
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
