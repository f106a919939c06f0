import { goMessage, goNilCollection, goRecord, goTextMap } from "../go-template/index.ts";
import { PROXY_CONFIG, type ProxyConfig } from "../istio/mesh/index.ts";
import { type NodeDescription, TYPED_FIELDS } from "../node/index.ts";

/** ProxyConfig as a Go template sees it. */
export function goProxyConfig(config: ProxyConfig): object {
  return goMessage(PROXY_CONFIG, config, "*v1alpha1.ProxyConfig");
}

const ZEROS: Readonly<Record<string, () => unknown>> = {
  text: () => "",
  integer: () => 0,
  flag: () => false,
  names: () => goNilCollection([]),
  texts: () => goNilCollection([]),
  ports: () => goNilCollection([]),
  labels: () => goNilCollection(goTextMap({})),
};

/** Typed node metadata by Go name. Source: istio/istio pkg/model/proxy.go (NodeMetadata), pkg/bootstrap. */
export function goMetadata(
  { typed, raw, typedMetadata }: NodeDescription,
  proxy: ProxyConfig,
  xdsRoot: string,
): object {
  const fields = [...TYPED_FIELDS].map(([name, { goName, kind }]) => {
    const value = typed[name];
    if (value === undefined) return [goName, name === "METADATA_DISCOVERY" ? undefined : ZEROS[kind]?.()];
    return [goName, kind === "labels" ? goTextMap(value as Record<string, string>) : value];
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
