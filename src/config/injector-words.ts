import type { ProxyConfig } from "../istio/mesh/index.ts";
import { CATALOGUE } from "./catalogue.ts";
import type { Origin, Problem } from "./problem.ts";
import type { Environment } from "./read-settings.ts";

export interface InjectorWords {
  readonly proxy: ProxyConfig;
  /** Where each field comes from. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly env: Environment;
  /** A template of the user may read anything. */
  readonly hasTemplate: boolean;
}

/** Node metadata that is a variable of the agent, too. */
const ALSO_VARIABLES: readonly string[] = Object.values(CATALOGUE)
  .map(({ env }) => env)
  .filter((name) => name.startsWith("ISTIO_META_") && name !== "ISTIO_META_ENABLE_SELF_DISCOVERY");

/** Fields that istiod reads as node metadata, which an injector sets. */
const AS_METADATA = [
  ["interceptionMode", "ISTIO_META_INTERCEPTION_MODE"],
  ["meshId", "ISTIO_META_MESH_ID"],
] as const;

/**
 * Settings that only Istio's injector puts into effect, where no injector was: each kind is told once. Of `proxyMetadata` it
 * makes variables of the container; by itself the agent takes node metadata from it. Source: istio/istio
 * manifests/charts/istio-control/istio-discovery/files/injection-template.yaml.
 */
export function wordsForInjector({ proxy, origins, env, hasTemplate }: InjectorWords): Problem[] {
  const warnings: Problem[] = [];
  const warn = (field: keyof ProxyConfig, message: string, hint?: string): void => {
    const origin = origins.get(field);
    if (origin === undefined) return;
    warnings.push({ name: field, origin, message, ...(hint === undefined ? {} : { hint }) });
  };
  const names = Object.keys(proxy.proxyMetadata).filter((name) => env[name] === undefined);
  const lost = names.filter((name) => !name.startsWith("ISTIO_META_") && !(hasTemplate && !isKnown(name)));
  const half = names.filter((name) => ALSO_VARIABLES.includes(name));
  const asVariables = "Set it as a variable of the agent: only an injector makes variables of proxyMetadata";
  if (lost.length > 0) warn("proxyMetadata", `without effect here: ${lost.join(", ")}`, asVariables);
  if (half.length > 0)
    warn("proxyMetadata", `told to the control plane, without effect on the agent: ${half.join(", ")}`, asVariables);
  if ((env.KUBERNETES_SERVICE_HOST ?? "") !== "") return warnings; // there an injector has done it, or somebody in its place
  if (proxy.holdApplicationUntilProxyStarts === true) {
    const hint = '"pilotboat run" starts an application once the proxy is ready';
    warn("holdApplicationUntilProxyStarts", "without effect here: only an injector acts on it", hint);
  }
  for (const [field, variable] of AS_METADATA) {
    if ((env[variable] ?? proxy.proxyMetadata[variable]) !== undefined) continue;
    warn(field, "without effect here: only an injector acts on it", `Set ${variable}, which istiod reads`);
  }
  if (proxy.image !== undefined && proxy.image.imageType !== "") {
    warn("image", "without effect here: only an injector acts on it");
  }
  return warnings;
}

function isKnown(name: string): boolean {
  return Object.values(CATALOGUE).some(({ env }) => env === name) || /^(XDS|CA)_HEADER_/.test(name);
}
