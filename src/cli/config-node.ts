import { lookAtNode } from "../agent/start-envoy/index.ts";
import { silentLogger } from "../base/index.ts";
import { formatProblem } from "../config/index.ts";
import type { Host } from "../host/index.ts";
import { hideMetadataSecrets } from "../istio/index.ts";
import type { JsonObject } from "../istio/mesh/index.ts";
import { loadProxyWords } from "./proxy-words.ts";

/** `pilotboat config node`: the node, and where each metadata key comes from; secrets are hidden. */
export async function showNode(args: readonly string[], isJson: boolean, host: Host): Promise<number> {
  const { config, warnings } = await loadProxyWords(args, host);
  host.stderr.write(warnings.map((warning) => `warning: ${formatProblem(warning)}\n`).join(""));
  const node = await lookAtNode(config, silentLogger, host.signals.stop);
  const { id, cluster, locality, metadata, origins } = node;
  const rows = Object.entries(hideMetadataSecrets(metadata) as JsonObject).map(([name, value]) => ({
    name,
    value,
    origin: origins.get(name) ?? "machine",
  }));
  if (isJson) {
    host.stdout.write(`${JSON.stringify({ id, cluster, locality, metadata: rows }, null, 2)}\n`);
    return 0;
  }
  const width = Math.max(...rows.map(({ name }) => name.length));
  host.stdout.write(`id       ${id}\ncluster  ${cluster}\nlocality ${JSON.stringify(locality)}\n\n`);
  for (const { name, value, origin } of rows) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    host.stdout.write(`${name.padEnd(width)}  ${text}\n${"".padEnd(width)}    from ${origin}\n`);
  }
  return 0;
}
