import { escapeGoJson } from "../../base/index.ts";
import { DEFAULT_PROXY_CONFIG, encodeMessage, PROXY_CONFIG } from "../../istio/mesh/index.ts";
import { isSame, type Tree } from "../pod/json.ts";

/**
 * A ProxyConfig, in JSON form, as the variable `PROXY_CONFIG` of a pod has it: what the agent would take anyway is left out.
 * Source: istio/istio pkg/kube/inject/template.go (cleanProxyConfig).
 */
export function proxyConfigJson(config: Tree): string {
  const usual: Tree = encodeMessage(PROXY_CONFIG, DEFAULT_PROXY_CONFIG);
  const members = Object.entries(config).filter(([name, value]) => !CLEANED.has(name) || !isSame(value, usual[name]));
  return escapeGoJson(JSON.stringify(Object.fromEntries(members)));
}

const CLEANED = new Set([
  ...["configPath", "binaryPath", "controlPlaneAuthPolicy", "serviceCluster", "drainDuration"],
  ...["terminationDrainDuration", "discoveryAddress", "envoyMetricsService", "envoyAccessLogService", "tracing"],
  ...["proxyAdminPort", "statNameLength", "statusPort", "concurrency"],
]);
