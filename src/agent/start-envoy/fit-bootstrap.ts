import { AgentError, type Logger } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { executableContains } from "../../envoy/index.ts";
import type { JsonObject } from "../../istio/mesh/index.ts";

/** The one extension of Istio's Envoy that a bootstrap asks for: it learns from istiod whose an address is. */
const DISCOVERY = "istio.workload.BootstrapExtension";
/** A program that knows that message contains the name of its package. */
const DISCOVERY_PACKAGE = "istio.workload";

/**
 * The bootstrap for this Envoy. One that asks for the discovery of workloads (`ISTIO_META_ENABLE_HBONE`) would end an
 * Envoy without that extension at its start: with `adapt` the extension is left out of our own document, which loses
 * telemetry only. With `refuse`, and for a waypoint, which lives on it, this rejects with ENVOY_LACKS_EXTENSION.
 */
export async function fitBootstrap(
  content: JsonObject | string,
  envoyPath: string,
  { settings, role }: AgentConfig,
  log: Logger,
): Promise<JsonObject | string> {
  const text = typeof content === "string" ? content : JSON.stringify(content.bootstrap_extensions ?? []);
  if (!text.includes(DISCOVERY)) return content;
  if ((await executableContains(envoyPath, DISCOVERY_PACKAGE)) !== false) return content;
  if (settings.stockEnvoy === "refuse" || typeof content === "string" || role === "waypoint")
    throw lacks(envoyPath, role);
  log.warn(`This Envoy does not have "metadata_discovery" (${DISCOVERY}), which HBONE asks for: it is left out`, {
    lost: "who the peer is in the telemetry of HBONE",
  });
  return { ...content, bootstrap_extensions: withoutDiscovery(content) };
}

function withoutDiscovery(document: JsonObject) {
  const extensions = Array.isArray(document.bootstrap_extensions) ? document.bootstrap_extensions : [];
  return extensions.filter((extension) => !JSON.stringify(extension).includes(DISCOVERY));
}

function lacks(envoyPath: string, role: AgentConfig["role"]): AgentError {
  const isWaypoint = role === "waypoint";
  const text = `Cannot start Envoy "${envoyPath}" ${isWaypoint ? "as a waypoint" : "with ISTIO_META_ENABLE_HBONE"}: it does not have the extension "metadata_discovery" (${DISCOVERY}) of Istio's Envoy, which its bootstrap asks for`;
  return new AgentError("ENVOY_LACKS_EXTENSION", text, {
    hint: isWaypoint
      ? "A waypoint takes Istio's Envoy, whatever --stock-envoy says: give one with --envoy PATH, or put it into the image (docs/containers.md)"
      : "Start with --stock-envoy adapt, which leaves it out (lost: who the peer is in the telemetry of HBONE), take Istio's Envoy (--envoy PATH), or unset ISTIO_META_ENABLE_HBONE",
  });
}
