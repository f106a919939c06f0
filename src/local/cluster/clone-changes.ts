import type { ContainerEnv } from "./container-env.ts";
import type { Unread } from "./unreadable.ts";

/** Something that the proxy here is not told as the pod's is. */
export interface CloneChange {
  /** Variables, fields of ProxyConfig. */
  readonly names: readonly string[];
  /** What holds here; undefined when they are left out. */
  readonly here?: string;
  readonly why: string;
}

/** Of ProxyConfig. */
export const INTERCEPTION_FIELDS: readonly string[] = ["interceptionMode", "interception_mode"];

/** A sidecar here is one without redirection; a gateway never has any. */
export function redirectionChanges(
  role: "sidecar" | "router",
  told: ReadonlyMap<string, string>,
  configs: readonly Readonly<Record<string, unknown>>[],
): readonly CloneChange[] {
  const fields = configs.flatMap((config) =>
    INTERCEPTION_FIELDS.filter((name) => name in config).map((name) => config[name]),
  );
  const mode = told.get("ISTIO_META_INTERCEPTION_MODE") ?? fields.at(-1) ?? "REDIRECT";
  const names = [
    ...(role === "sidecar" ? ["ISTIO_META_INTERCEPTION_MODE"] : []),
    ...(fields.length > 0 ? ["interceptionMode"] : []),
  ];
  if (names.length === 0 || mode === "NONE") return [];
  const why = `nothing redirects connections on this machine; the pod has ${mode}`;
  return [{ names, ...(role === "sidecar" && { here: "NONE" }), why }];
}

interface UnknownFacts {
  /** Undefined for a pod without a proxy. */
  readonly env: Pick<ContainerEnv, "secret" | "unknown"> | undefined;
  readonly unread: readonly Unread[];
}

/** What could not be read. */
export function unknownChanges({ env, unread }: UnknownFacts): readonly CloneChange[] {
  const here = env === undefined ? "Istio's own defaults" : undefined;
  const sources = unread.map(({ what, why }) => ({ names: [what], ...(here !== undefined && { here }), why }));
  if (env === undefined) return sources;
  return [
    ...sources,
    ...(env.secret.length === 0 ? [] : [{ names: env.secret, why: "it is in a Secret, which is not read" }]),
    ...(env.unknown.length === 0
      ? []
      : [{ names: env.unknown, why: "only the pod's node knows its value, or it is not there" }]),
  ];
}
