import { writeFileAtomically } from "../base/index.ts";
import type { JsonObject } from "../istio/mesh/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { localityJson } from "./render-bootstrap.ts";

/**
 * The bootstrap of a proxyless gRPC client, which reaches the control plane through the agent's socket: a path that is
 * right from `/`, because the client may work in any folder. `outputCerts` is the folder of OUTPUT_CERTS, absolute for
 * the same reason, empty for none. Source: istio/istio pkg/istio-agent/grpcxds.
 */
export function renderGrpcBootstrap(xdsSocket: string, outputCerts: string, node: NodeDescription): JsonObject {
  return {
    xds_servers: [
      {
        server_uri: `unix:///${xdsSocket}`,
        channel_creds: [{ type: "insecure" }],
        server_features: ["xds_v3"],
      },
    ],
    node: {
      id: node.id,
      metadata: { ...node.typedMetadata, GENERATOR: "grpc" },
      locality: localityJson(node),
      UserAgentVersionType: null,
    },
    ...(outputCerts === "" ? {} : { certificate_providers: { default: fileWatcher(outputCerts) } }),
    server_listener_resource_name_template: "xds.istio.io/grpc/lds/inbound/%s",
  };
}

/** Writes the file, readable by all because applications read it. Rejects with FILE_UNWRITABLE. */
export async function writeGrpcBootstrap(path: string, document: JsonObject): Promise<void> {
  await writeFileAtomically(path, `${JSON.stringify(document, null, 2)}\n`, { mode: 0o644, folderMode: 0o700 });
}

function fileWatcher(folder: string): JsonObject {
  return {
    plugin_name: "file_watcher",
    config: {
      certificate_file: `${folder}/cert-chain.pem`,
      private_key_file: `${folder}/key.pem`,
      ca_certificate_file: `${folder}/root-cert.pem`,
      refresh_interval: "900s",
    },
  };
}
