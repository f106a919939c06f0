import { createHash } from "node:crypto";
import type { AgentConfig } from "../../config/index.ts";
import type { Owner } from "../../last-good/index.ts";
import type { NodeDescription } from "../../node/index.ts";

export type OwnerConfig = Pick<AgentConfig, "metadataEnv" | "xdsHeaders"> & {
  readonly proxy: Pick<AgentConfig["proxy"], "discoveryAddress" | "proxyMetadata">;
  readonly settings: Pick<AgentConfig["settings"], "clusterId">;
};

/**
 * The node's id, and what else makes the control plane configure Envoy differently, and stays from start to start: where
 * it is, labels, network, `ISTIO_META_*` and `XDS_HEADER_*`. As a hash, since headers may be secrets.
 */
export function lastGoodOwner(config: OwnerConfig, { id, metadata }: Pick<NodeDescription, "id" | "metadata">): Owner {
  const { proxy, settings, metadataEnv, xdsHeaders } = config;
  const about = [metadata.LABELS, metadata.NETWORK, byName(Object.entries(proxy.proxyMetadata)), byName(metadataEnv)];
  const hash = createHash("sha256").update(JSON.stringify([...about, byName(xdsHeaders)], sortKeys));
  return { nodeId: id, others: [settings.clusterId, proxy.discoveryAddress, hash.digest("hex")] };
}

function byName<T extends readonly [name: string, value: string]>(entries: readonly T[]): T[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
