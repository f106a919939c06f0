import { type ProxyConfig, probeTrouble } from "../istio/mesh/index.ts";
import type { Settings } from "./catalogue.ts";
import { FIELDS_WITHOUT_EFFECT } from "./field-help.ts";
import { ALL_FLAGS } from "./flags.ts";
import type { Origin, Problem } from "./problem.ts";
import { type Environment, SETTINGS } from "./read-settings.ts";
import type { Setting } from "./setting.ts";

export interface SetWords {
  readonly role: string;
  readonly settings: Settings;
  readonly proxy: ProxyConfig;
  /** Where each field, variable and flag that was set comes from. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly env: Environment;
  readonly annotations: ReadonlyMap<string, string>;
}

/** A warning for everything that is set and changes nothing, with what follows. */
export function withoutEffect(words: SetWords): Problem[] {
  return [...settings(words), ...flags(words), ...fields(words), ...probe(words), ...annotations(words)];
}

function warning(name: string, origin: Origin, consequence: string): Problem {
  return { name, origin, message: `has no effect: ${consequence}` };
}

/** A setting that repeats its default asks for nothing. */
function settings({ role, settings: values, origins }: SetWords): Problem[] {
  const isChanged = (name: string, { parser, default: fallback }: Setting<unknown>): boolean =>
    parser.print(values[name as keyof Settings]) !== parser.print(fallback);
  return SETTINGS.flatMap(([name, row]) => {
    const origin = origins.get(row.env);
    if (origin === undefined || row.withoutEffect === undefined || !isChanged(name, row)) return [];
    if (row.onlyFor !== undefined && row.onlyFor !== role) return [];
    return [warning(row.env, origin, row.withoutEffect)];
  });
}

function flags({ origins }: SetWords): Problem[] {
  return ALL_FLAGS.flatMap(({ name, withoutEffect: consequence }) => {
    const origin = origins.get(`--${name}`);
    return origin === undefined || consequence === undefined ? [] : [warning(`--${name}`, origin, consequence)];
  });
}

function fields({ origins }: SetWords): Problem[] {
  return Object.entries(FIELDS_WITHOUT_EFFECT).flatMap(([name, consequence]) => {
    const origin = origins.get(name);
    return origin === undefined ? [] : [warning(name, origin, consequence)];
  });
}

/** A probe that cannot be used costs nobody the start: the reference's agent would crash later. */
function probe({ proxy: { readinessProbe }, origins }: SetWords): Problem[] {
  const trouble = readinessProbe && probeTrouble(readinessProbe);
  const origin = origins.get("readinessProbe");
  if (trouble === undefined || origin === undefined) return [];
  return [warning("readinessProbe", origin, `${trouble}; the workload's health is not checked and not reported`)];
}

/** Read by the agent, told to Envoy, or part of what the agent tells the control plane. Source: istio/istio pkg/bootstrap/config.go. */
const READ_ANNOTATIONS =
  /^(proxy\.istio\.io\/config|sidecar\.istio\.io\/(discoveryAddress|extraStatTags|stats\w+)|status\.sidecar\.istio\.io\/port|traffic\.sidecar\.istio\.io\/excludeInterfaces)$/;
const OF_INJECTOR =
  /^((readiness\.)?status\.|traffic\.|)sidecar\.istio\.io\/|^proxy\.istio\.io\/|^prometheus\.istio\.io\//;

/** In a pod an injector has acted on them. */
function annotations({ annotations: all, env }: SetWords): Problem[] {
  if (isInPod(env)) return [];
  const names = [...all.keys()].filter((name) => OF_INJECTOR.test(name) && !READ_ANNOTATIONS.test(name));
  return names.map((name) =>
    warning(name, { source: `annotation ${name}` }, "only an injector acts on it, and none was here"),
  );
}

function isInPod(env: Environment): boolean {
  return (env.KUBERNETES_SERVICE_HOST ?? "") !== "";
}
