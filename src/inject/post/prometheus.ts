import { escapeGoJson, parseGoBool } from "../../base/index.ts";
import type { MeshConfig } from "../../istio/mesh/index.ts";
import { type Tree, textsOf, treeOf, treesOf } from "../pod/json.ts";
import { containerOf, mapSidecar, PROXY, withEnv } from "./containers.ts";

/**
 * Leads Prometheus to the agent, which merges the application's metrics with Envoy's; where they were is in
 * `ISTIO_PROMETHEUS_ANNOTATIONS`. Throws for a port that cannot be scraped. Source: istio/istio pkg/kube/inject/webhook.go
 * (applyPrometheusMerge).
 */
export function mergePrometheus(pod: Tree, mesh: MeshConfig, statusPort: number): Tree {
  const annotations = textsOf(treeOf(pod.metadata).annotations);
  const asked = (name: string): string | undefined =>
    Object.entries(annotations).find(([key]) => sanitized(key) === name)?.[1];
  const isMerged =
    parseGoBool(annotations["prometheus.istio.io/merge-metrics"] ?? "") ?? mesh.enablePrometheusMerge ?? true;
  const isScraped = parseGoBool(asked(SCRAPE) ?? "") ?? true;
  if (!isMerged || !isScraped || asked(PORT) === String(statusPort)) return pod;
  const targets = targetsOf(asked(TARGETS) ?? "");
  const [first] = targets;
  const scrape = {
    scrape: asked(SCRAPE) ?? "",
    path: first?.path ?? asked(PATH) ?? "",
    port: first?.port ?? asked(PORT) ?? "",
    ...(targets.length > 0 && { targets }),
  };
  for (const { port } of first === undefined && scrape.port !== "" ? [scrape] : targets) checkPort(port, statusPort);
  const isEmpty = scrape.scrape + scrape.path + scrape.port === "" && targets.length === 0;
  const variable = { name: "ISTIO_PROMETHEUS_ANNOTATIONS", value: escapeGoJson(JSON.stringify(scrape)) };
  const told = isEmpty ? pod : mapSidecar(pod, (sidecar) => withEnv(sidecar, variable));
  return withAnnotations(told, {
    ...withoutPrometheus(annotations),
    "prometheus.io/port": String(statusPort),
    "prometheus.io/path": "/stats/prometheus",
    "prometheus.io/scrape": "true",
  });
}

/** Announces the port of the metrics over mTLS where the sidecar has one. */
export function announceSecurePort(pod: Tree): Tree {
  const annotations = textsOf(treeOf(pod.metadata).annotations);
  if (Object.keys(annotations).some((key) => sanitized(key) === "prometheus_istio_io_secure_port")) return pod;
  const env = treesOf(containerOf(pod, PROXY)?.env);
  const port = env.find(
    ({ name, value }) => name === "ENVOY_SECURE_MERGED_METRICS_PORT" && value && value !== "0",
  )?.value;
  return port === undefined
    ? pod
    : withAnnotations(pod, { ...annotations, "prometheus.istio.io/secure-port": String(port) });
}

/** The annotations of a pod that was injected before, without those that lead to the agent. */
export function withoutOwnPrometheus(
  annotations: Readonly<Record<string, string>>,
  statusPort: number,
): Record<string, string> {
  const isOwn = Object.entries(annotations).some(
    ([key, value]) => sanitized(key) === PORT && value === String(statusPort),
  );
  return isOwn ? withoutPrometheus(annotations) : { ...annotations };
}

const SCRAPE = "prometheus_io_scrape";
const PORT = "prometheus_io_port";
const PATH = "prometheus_io_path";
const TARGETS = "prometheus_istio_io_scrape_targets";

/** As Prometheus makes a label of an annotation: two annotations may be the same to it. */
function sanitized(name: string): string {
  return name.replaceAll(/[^a-zA-Z0-9_]/g, "_");
}

function withoutPrometheus(annotations: Readonly<Record<string, string>>): Record<string, string> {
  const ours = [SCRAPE, PORT, PATH, TARGETS];
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => !ours.includes(sanitized(key))));
}

function withAnnotations(pod: Tree, annotations: Readonly<Record<string, string>>): Tree {
  return { ...pod, metadata: { ...treeOf(pod.metadata), annotations } };
}

interface Target {
  readonly port: string;
  readonly path: string;
}

/** `8080:/metrics,9090`; none where one has no port. */
function targetsOf(text: string): readonly Target[] {
  const entries = text.split(",").map((entry) => entry.trim());
  const targets = entries
    .filter((entry) => entry !== "")
    .map((entry) => {
      const [, port = "", path = ""] = /^([^:]*):?(.*)$/s.exec(entry) ?? [];
      return { port: port.trim(), path: path.trim() || "/metrics" };
    });
  return targets.some(({ port }) => port === "") ? [] : targets;
}

function checkPort(port: string, statusPort: number): void {
  const number = /^[+]?\d{1,6}$/.test(port) ? Number(port) : 0;
  const refused = (reason: string): Error => new Error(`Prometheus cannot be led to port "${port}": ${reason}`);
  if (number < 1 || number > 65_535) throw refused("it is no port");
  if (number === statusPort) throw refused("it is the agent's own");
  const reason = RESERVED[number];
  if (reason !== undefined) throw refused(`Istio uses it (${reason})`);
}

/** Source: istio/istio pilot/cmd/pilot-agent/status/server.go (istioReservedPorts). */
const RESERVED: Readonly<Record<number, string>> = {
  15000: "Envoy's admin",
  15001: "outbound traffic",
  15004: "debugging",
  15006: "inbound traffic",
  15008: "HBONE",
  15020: "the agent",
  15021: "Envoy's health",
  15053: "DNS",
  15090: "Envoy's metrics",
};
