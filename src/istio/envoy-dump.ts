import { AgentError } from "../base/index.ts";

/** A dump of Envoy's configuration in a place where a bootstrap belongs. */
export interface EnvoyDump {
  /** Half a sentence: `it is …`. */
  readonly found: string;
  /** What to do, for the file of this name. */
  readonly hint: (path: string) => string;
}

/** How each begins, in JSON or YAML. No bootstrap has a field of such a name. */
const DUMPS = [
  { key: "bootstrap", by: '"istioctl proxy-config bootstrap"', filter: ".bootstrap" },
  { key: "configs", by: "Envoy's /config_dump", filter: "'.configs[] | select(.bootstrap).bootstrap'" },
] as const;

/**
 * What Envoy's admin or istioctl printed of a configuration; undefined for anything else. The bootstrap is one level down
 * in it, so Envoy would know no field of it, and start with nothing.
 * Source: envoyproxy/envoy api/envoy/admin/v3/config_dump.proto.
 */
export function recognizeDump(text: string): EnvoyDump | undefined {
  const dump = DUMPS.find(({ key }) => new RegExp(`^\\s*(\\{\\s*"${key}"|(---\\s+)?${key})\\s*:`).test(text));
  return (
    dump && {
      found: `it is a dump of Envoy's configuration, as ${dump.by} prints it, wanted a bootstrap`,
      hint: (path) => `The bootstrap is inside: jq ${dump.filter} ${path} > bootstrap.json`,
    }
  );
}

/** Throws CONFIG_INVALID when the text of the file is a dump. `failure` begins the message: `Cannot validate`. */
export function refuseDump(text: string, failure: string, path: string): void {
  const dump = recognizeDump(text);
  if (dump === undefined) return;
  throw new AgentError("CONFIG_INVALID", `${failure} "${path}": ${dump.found}`, { hint: dump.hint(path) });
}
