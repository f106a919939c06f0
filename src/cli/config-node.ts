import { lookAtNode } from "../agent/start-envoy/index.ts";
import { silentLogger } from "../base/index.ts";
import { formatProblem } from "../config/index.ts";
import type { Host } from "../host/index.ts";
import { hideMetadataSecrets } from "../istio/index.ts";
import type { JsonObject } from "../istio/mesh/index.ts";
import { printWarnings } from "./print-error.ts";
import { loadProxyWords } from "./proxy-words.ts";
import { faint, nameTable, type Row, stdoutOf } from "./terminal/index.ts";

/** `pilotboat config node`: the node, and where each metadata key comes from; secrets are hidden. */
export async function showNode(args: readonly string[], isJson: boolean, host: Host): Promise<number> {
  const { config, warnings } = await loadProxyWords(args, host);
  printWarnings(host, warnings.map(formatProblem));
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
  const terminal = stdoutOf(host);
  const { width } = terminal;
  const head: Row[] = [
    ["id", id],
    ["cluster", cluster],
    ["locality", JSON.stringify(locality)],
  ];
  const table = rows.flatMap(({ name, value, origin }): Row[] => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return [
      [name, text],
      ["", faint(`  from ${origin}`)],
    ];
  });
  terminal.print([nameTable(head, { width }), "\n", nameTable(table, { width })]);
  return 0;
}
