import { portDefaults } from "../../agent/ports/index.ts";
import { formatGoDuration } from "../../base/index.ts";
import type { ConfigDefaults } from "../../config/index.ts";
import type { Host } from "../../host/index.ts";
import { PATHS } from "../../istio/index.ts";
import { DEFAULT_PROXY_CONFIG } from "../../istio/mesh/index.ts";

// What `run` and `up` state in place of the defaults of `proxy`. Whatever the user sets beats these.

const RUN = "pilotboat run";

/** Where the run folder goes with the run, nothing else may stay. */
export const LAST_GOOD_IN_RUN_FOLDER = `${PATHS.config}/last-good`;

/** A number, or words for one that a start chooses. */
type Port = number | string;

/** The ports that a start chooses, by the setting of each. */
export type ChosenPorts = Readonly<
  Record<"proxyAdminPort" | "statusPort" | "ENVOY_STATUS_PORT" | "ENVOY_PROMETHEUS_PORT", Port>
>;

/** Flags of `proxy`. With --verbose `run` leaves out the second one. */
export const RUN_LOG_FLAGS = { log_target: "stderr", log_output_level: "all:warn,grpc:none" } as const;

/** `ports` is undefined inside a pod: its probes and its redirection name the usual ones. */
export function runDefaults(env: Host["env"], ports: ChosenPorts | undefined): readonly ConfigDefaults[] {
  const variables = {
    PILOTBOAT_RESTART: "on-failure",
    PILOTBOAT_WATCHDOG: "true",
    PILOTBOAT_STOCK_ENVOY: "adapt",
    PILOTBOAT_LAST_GOOD: "true",
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true",
    MINIMUM_DRAIN_DURATION: "0s",
  };
  const { terminationDrainDuration } = DEFAULT_PROXY_CONFIG;
  // a user who asks for the wait also decides about its bound; where `run` asks, the bound is the fixed time of `proxy`
  const bound = env.EXIT_ON_ZERO_ACTIVE_CONNECTIONS
    ? {}
    : { terminationDrainDuration: formatGoDuration(terminationDrainDuration ?? 0n) };
  const measured = ports === undefined ? {} : MEASURED;
  return [
    { source: RUN, variables, proxyConfig: { ...bound, ...measured } },
    ...(ports === undefined ? [] : [portDefaults(RUN, ports)]),
  ];
}

/** One histogram for each cluster more than in a pod: the page at the status port shows latencies. */
const MEASURED = { proxyStatsMatcher: { inclusionSuffixes: ["upstream_rq_time"] } };

export interface MeshFacts {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly ports: ChosenPorts;
  readonly controlPlanePort: Port;
  /** Absolute. It outlives the run folder. */
  readonly crashFolder: string;
  /** Of the agent's DNS server, where the application is in a network namespace of its own. */
  readonly dnsPort?: number | undefined;
}

/** `up`, `run --local` and the library: what an injector would set in a pod, for this machine. */
export function meshDefaults(mesh: MeshFacts): readonly ConfigDefaults[] {
  const { namespace, serviceAccount, ports, controlPlanePort, crashFolder, dnsPort } = mesh;
  const source = "the local mesh";
  const variables = {
    POD_NAME: `${serviceAccount}-local`,
    POD_NAMESPACE: namespace,
    SERVICE_ACCOUNT: serviceAccount,
    INSTANCE_IP: "127.0.0.1",
    ISTIO_META_CLUSTER_ID: "Kubernetes",
    PILOTBOAT_CRASH_FOLDER: crashFolder,
    PILOTBOAT_RESTART: "on-failure",
    PILOTBOAT_WATCHDOG: "true",
    PILOTBOAT_STOCK_ENVOY: "adapt",
    PILOTBOAT_LAST_GOOD: "true",
    PILOTBOAT_LAST_GOOD_FOLDER: LAST_GOOD_IN_RUN_FOLDER,
    PILOTBOAT_LOOPBACK_ONLY: "true",
    ...(dnsPort === undefined ? {} : { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${dnsPort}` }),
  };
  const proxyConfig = {
    discoveryAddress: `localhost:${controlPlanePort}`,
    ...MEASURED,
    terminationDrainDuration: "0s", // nobody else is connected, and Ctrl-C should be quick
  };
  return [{ source, variables, proxyConfig }, portDefaults(source, ports)];
}

/** A default that differs from that of `proxy`. */
export interface StatedDefault {
  readonly command: "run" | "up";
  /** As text; words where only a start knows it. */
  readonly value: string;
}

/** What `run` and `up` state for a variable, a flag or a field of ProxyConfig; it may be what `proxy` has, too. */
export function statedDefaults(name: string): readonly StatedDefault[] {
  const mesh: MeshFacts = {
    namespace: "default",
    serviceAccount: "quickstart",
    ports: portsInWords("a free port"),
    controlPlanePort: "PORT",
    crashFolder: "~/.local/state/pilotboat/crashes",
  };
  const found = (command: StatedDefault["command"], defaults: readonly ConfigDefaults[]): StatedDefault[] =>
    defaults.flatMap(({ variables = {}, proxyConfig = {} }) => {
      const value = variables[name] ?? proxyConfig[name];
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      return value === undefined ? [] : [{ command, value: text }];
    });
  const flags = Object.fromEntries(Object.entries(RUN_LOG_FLAGS).map(([flag, value]) => [`--${flag}`, value]));
  return [
    ...found("run", [
      { source: RUN, variables: flags },
      ...runDefaults({}, portsInWords("a free port, outside a pod")),
    ]),
    ...found("up", meshDefaults(mesh)),
  ];
}

function portsInWords(port: string): ChosenPorts {
  return { proxyAdminPort: port, statusPort: port, ENVOY_STATUS_PORT: port, ENVOY_PROMETHEUS_PORT: port };
}
