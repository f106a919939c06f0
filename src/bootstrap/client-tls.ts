import sdsSecret from "../../bootstrap-templates/sds-secret.json" with { type: "json" };
import type { ClientTlsSettings, JsonObject, JsonValue } from "../istio/mesh/index.ts";
import { fill } from "./fill.ts";

/** Paths from node metadata that beat those of the settings. */
export interface TlsPaths {
  readonly root: string;
  readonly certChain: string;
  readonly key: string;
}

export interface ClientTlsOptions {
  readonly settings: ClientTlsSettings | undefined;
  readonly paths: TlsPaths;
  /** SNI for ISTIO_MUTUAL when the settings name none. */
  readonly defaultSni: string;
  readonly hasAlpn: boolean;
}

/**
 * The transport socket of a client; undefined without TLS. Source: istio/istio pkg/bootstrap/option/convert.go
 * (transportSocketConverter), pilot/pkg/security/model.
 */
export function clientTransportSocket({
  settings,
  paths,
  defaultSni,
  hasAlpn,
}: ClientTlsOptions): JsonObject | undefined {
  if (settings === undefined || settings.mode === "DISABLE" || settings.mode === 0) return undefined;
  const isIstioMutual = settings.mode === "ISTIO_MUTUAL";
  const sni = settings.sni !== "" ? settings.sni : isIstioMutual ? defaultSni : "";
  const certificate = certificateSecret(settings, paths);
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      common_tls_context: {
        ...(hasAlpn ? { alpn_protocols: isIstioMutual ? ["istio", "h2"] : ["h2"] } : {}),
        combined_validation_context: validation(settings, paths),
        ...(certificate === undefined ? {} : { tls_certificate_sds_secret_configs: [certificate] }),
      },
      ...(sni === "" ? {} : { sni }),
    },
  };
}

function certificateSecret(settings: ClientTlsSettings, paths: TlsPaths): JsonObject | undefined {
  if (settings.mode === "ISTIO_MUTUAL") return workloadSecret("default");
  if (settings.mode !== "MUTUAL") return undefined;
  const certChain = paths.certChain || settings.clientCertificate;
  const key = paths.key || settings.privateKey;
  return certChain === "" || key === "" ? undefined : fill(sdsSecret, { name: `file-cert:${certChain}~${key}` });
}

function validation(settings: ClientTlsSettings, paths: TlsPaths): JsonValue {
  const names = settings.subjectAltNames.map((exact) => ({ exact }));
  const root = rootSecret(settings, paths);
  return {
    default_validation_context: names.length === 0 ? {} : { match_subject_alt_names: names },
    ...(root === undefined ? {} : { validation_context_sds_secret_config: root }),
  };
}

function rootSecret(settings: ClientTlsSettings, paths: TlsPaths): JsonObject | undefined {
  if (settings.mode === "ISTIO_MUTUAL") return workloadSecret("ROOTCA");
  const root = paths.root || settings.caCertificates;
  return root === "" ? undefined : fill(sdsSecret, { name: `file-root:${root}` });
}

/** The workload's own secrets are waited for without limit. */
function workloadSecret(name: string): JsonObject {
  return fill(sdsSecret, { name, initial_fetch_timeout: "0s" });
}
