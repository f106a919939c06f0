/** The member below these names; undefined where there is none. */
export function memberOf(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}

/** The list below these names; empty where there is none. */
export function listOf(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = memberOf(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** The text or number below these names as text; empty where there is none. */
export function textOf(value: unknown, ...path: readonly string[]): string {
  const found = memberOf(value, ...path);
  return typeof found === "string" || typeof found === "number" ? String(found) : "";
}

/** The number below these names, which Envoy may write as text; 0 where there is none. */
export function numberOf(value: unknown, ...path: readonly string[]): number {
  const found = Number(textOf(value, ...path));
  return Number.isFinite(found) ? found : 0;
}

/** `host:port`, the path of a socket, or the name of an internal listener. Source: envoyproxy/envoy api/envoy/config/core/v3/address.proto. */
export function addressOf(address: unknown): string {
  const host = textOf(address, "socket_address", "address");
  if (host !== "") {
    const port = textOf(address, "socket_address", "port_value");
    return `${host.includes(":") ? `[${host}]` : host}:${port === "" ? "0" : port}`;
  }
  const internal = textOf(address, "envoy_internal_address", "server_listener_name");
  return internal === "" ? textOf(address, "pipe", "path") : internal;
}
