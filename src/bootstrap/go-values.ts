import { GoInt, goMessage, goNilCollection, goRecord, goTextMap } from "../go-template/index.ts";
import { PROXY_CONFIG, type ProxyConfig } from "../istio/mesh/index.ts";
import { type NodeDescription, TYPED_FIELDS } from "../node/index.ts";

/** ProxyConfig as a Go template sees it. */
export function goProxyConfig(config: ProxyConfig): object {
  return goMessage(PROXY_CONFIG, config, "*v1alpha1.ProxyConfig");
}

const ZEROS: Readonly<Record<string, () => unknown>> = {
  text: () => "",
  integer: () => new GoInt(0, "int32"),
  flag: () => false,
  names: () => goNilCollection([]),
  texts: () => goNilCollection([]),
  ports: () => goNilCollection([]),
  labels: () => goNilCollection(goTextMap({})),
};

function goField(kind: string, value: unknown): unknown {
  if (kind === "labels") return goTextMap(value as Record<string, string>);
  return typeof value === "number" ? new GoInt(value, "int") : value;
}

/** Typed node metadata by Go name. Source: istio/istio pkg/model/proxy.go (NodeMetadata), pkg/bootstrap. */
export function goMetadata(
  { typed, raw, typedMetadata }: NodeDescription,
  proxy: ProxyConfig,
  xdsRoot: string,
): object {
  const fields = [...TYPED_FIELDS].map(([name, { goName, kind }]) => {
    const value = typed[name];
    if (value === undefined) return [goName, name === "METADATA_DISCOVERY" ? undefined : ZEROS[kind]?.()];
    return [goName, goField(kind, value)];
  });
  const own = {
    ProxyConfig: goProxyConfig(proxy),
    XDSRootCert: xdsRoot,
    Raw: Object.fromEntries([...raw].map(([key, { value }]) => [key, value])),
  };
  return goRecord(
    { ...Object.fromEntries(fields), ...own },
    { name: "*model.BootstrapNodeMetadata", json: typedMetadata },
  );
}
