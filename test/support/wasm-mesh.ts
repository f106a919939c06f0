import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

const TYPES = "type.googleapis.com/envoy.extensions.filters";

/** A Wasm filter of a mesh. */
export interface WasmFilter {
  readonly url: string;
  /** Default FAIL_CLOSED. */
  readonly policy?: "FAIL_OPEN" | "FAIL_CLOSED";
  readonly environment?: Readonly<Record<string, string>>;
  readonly sha256?: string;
  /** Configured as an EnvoyFilter may do it. */
  readonly isTypedStruct?: boolean;
}

/** Writes resources with one listener on `port`, which answers by itself behind one Wasm filter that is discovered. */
export async function writeWasmMesh(folder: string, port: number, filter: WasmFilter): Promise<void> {
  const discovery = {
    config_source: { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" },
    type_urls: [`${TYPES}.http.wasm.v3.Wasm`, `${TYPES}.http.rbac.v3.RBAC`],
  };
  const manager = {
    "@type": `${TYPES}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "outbound",
    route_config: {
      virtual_hosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }] },
      ],
    },
    http_filters: [
      { name: "ns.plugin", config_discovery: discovery },
      { name: "envoy.filters.http.router", typed_config: { "@type": `${TYPES}.http.router.v3.Router` } },
    ],
  };
  const listener = {
    name: "outbound",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] }],
  };
  const extension = { name: "ns.plugin", typed_config: wasmConfig(filter) };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "staged"), JSON.stringify({ listeners: [listener], extensions: [extension] }));
  await rename(join(folder, "staged"), join(folder, "mesh.yaml"));
}

function wasmConfig({ url, policy = "FAIL_CLOSED", environment, sha256 = "nil", isTypedStruct = false }: WasmFilter) {
  const remote = { http_uri: { uri: url, cluster: "_", timeout: "30s" }, sha256 };
  const variables = environment === undefined ? {} : { environment_variables: { key_values: environment } };
  const vm = { runtime: "envoy.wasm.runtime.v8", code: { remote }, ...variables };
  const config = { name: "ns.plugin", failure_policy: policy, vm_config: vm };
  const type = `${TYPES}.http.wasm.v3.Wasm`;
  if (!isTypedStruct) return { "@type": type, config };
  return { "@type": "type.googleapis.com/udpa.type.v1.TypedStruct", type_url: type, value: { config } };
}
