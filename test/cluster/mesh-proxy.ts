import { mkdir } from "node:fs/promises";
import type { AgentReport } from "../../src/agent/index.ts";
import { type RunningCommand, type Runtime, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import type { Cluster } from "./start-cluster.ts";

export interface MeshProxyOptions {
  /** Run folder; it is made. */
  readonly folder: string;
  /** Default: that of the test. */
  readonly namespace?: string;
  readonly account: string;
  readonly pod: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the pod. Default 127.0.0.1. */
  readonly address?: string;
  readonly role?: "sidecar" | "router";
  readonly env?: Readonly<Record<string, string>>;
  /** Fields of ProxyConfig beside, or in place of, those that are set here. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  /** Token and root are in the folder already. */
  readonly hasCredentials?: boolean;
}

/** `pilotboat proxy` as a workload of the cluster, told what the injector would tell it. */
export interface MeshProxy extends AsyncDisposable {
  readonly command: RunningCommand;
  readonly folder: string;
  readonly adminPort: number;
  /** `http://host:port` of the status port. */
  readonly statusUrl: string;
  /** Of `/healthz/ready`; 0 while nobody listens. */
  readonly readyStatus: () => Promise<number>;
  /** The text of the same answer; empty while nobody listens. */
  readonly readyText: () => Promise<string>;
  /** What `pilotboat status` shows. */
  report(): Promise<AgentReport>;
  /** How many updates Envoy has refused. */
  rejectedUpdates(): Promise<number>;
}

/** Resolves as soon as it is started. */
export async function startMeshProxy(
  runtime: Runtime,
  cluster: Cluster,
  options: MeshProxyOptions,
): Promise<MeshProxy> {
  const { namespace = cluster.namespace } = options;
  const { folder, account, pod, labels, address = "127.0.0.1", role = "sidecar", env = {}, proxyConfig } = options;
  if (options.hasCredentials !== true) await cluster.writeCredentials(folder, account, { namespace });
  return startAgent(runtime, cluster, {
    folder,
    args: [role],
    env: {
      POD_NAME: pod,
      POD_NAMESPACE: namespace,
      SERVICE_ACCOUNT: account,
      INSTANCE_IP: address,
      ISTIO_META_CLUSTER_ID: "Kubernetes",
      ISTIO_META_INTERCEPTION_MODE: "NONE",
      ISTIO_METAJSON_LABELS: JSON.stringify(labels),
      ...env,
    },
    ...(proxyConfig && { proxyConfig }),
  });
}

export interface AgentOptions {
  /** Run folder; it is made. */
  readonly folder: string;
  /** The words after `proxy`. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Fields of ProxyConfig beside, or in place of, those that fit the agent into this machine. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
}

/** `pilotboat proxy` on free ports with a real Envoy, and nothing else set but what is given. Resolves as soon as it is started. */
export async function startAgent(
  runtime: Runtime,
  cluster: Pick<Cluster, "discoveryAddress">,
  { folder, args, env, proxyConfig = {} }: AgentOptions,
): Promise<MeshProxy> {
  await mkdir(folder, { recursive: true });
  const [admin = 0, status = 0, envoyStatus = 0, prometheus = 0] = await freePorts(4);
  const command = start(runtime, ["proxy", ...args], {
    cwd: folder,
    env: {
      ENVOY_STATUS_PORT: String(envoyStatus),
      ENVOY_PROMETHEUS_PORT: String(prometheus),
      PILOTBOAT_STOCK_ENVOY: "adapt",
      ...env,
      PROXY_CONFIG: JSON.stringify({
        binaryPath: await realEnvoy(),
        configPath: "proxy",
        discoveryAddress: cluster.discoveryAddress,
        statusPort: status,
        proxyAdminPort: admin,
        terminationDrainDuration: "0s",
        ...proxyConfig,
      }),
    },
  });
  const at = `http://127.0.0.1:${status}`;
  const readyUrl = `${at}/healthz/ready`;
  return {
    command,
    folder,
    adminPort: admin,
    statusUrl: at,
    report: async () => (await (await fetch(`${at}/debug/agent`)).json()) as AgentReport,
    readyStatus: () =>
      fetch(readyUrl).then(
        (answer) => answer.status,
        () => 0,
      ),
    readyText: () =>
      fetch(readyUrl).then(
        (answer) => answer.text(),
        () => "",
      ),
    async rejectedUpdates() {
      const stats = await (await fetch(`http://127.0.0.1:${admin}/stats?filter=update_rejected`)).text();
      return [...stats.matchAll(/: (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    },
    [Symbol.asyncDispose]: () => command[Symbol.asyncDispose](),
  };
}
