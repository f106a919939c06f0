import { type DurationNs, toMs } from "../base/index.ts";
import { type Field, type FieldType, type MessageSchema, PROXY_CONFIG, type ProxyConfig } from "../proto/mesh/index.ts";

type GoRecord = Record<string, unknown>;

/**
 * ProxyConfig as a Go template sees it: fields by Go name, wrappers as `{Value}`, durations as `{Seconds, Nanos}`,
 * messages with getters (`GetZipkin`), the cluster name under its oneof's holder. Source: generated code of istio/api.
 */
export function goProxyConfig(config: ProxyConfig): GoRecord {
  const { ServiceCluster, TracingServiceName, ...rest } = goMessage(PROXY_CONFIG, config);
  const holder = ServiceCluster === undefined ? { TracingServiceName } : { ServiceCluster };
  return { ...rest, ClusterName: holder };
}

function goMessage(schema: MessageSchema, value: Readonly<Record<string, unknown>>): GoRecord {
  const record: GoRecord = {};
  for (const [name, field] of Object.entries(schema)) {
    const go = goValue(field, value[name]);
    record[goName(name)] = go;
    if (schema !== PROXY_CONFIG) record[`Get${goName(name)}`] = go;
  }
  return record;
}

function goValue(field: Field | FieldType, value: unknown): unknown {
  if (value === undefined) return undefined;
  switch (field.kind) {
    case "message":
      return goMessage(field.of, value as GoRecord);
    case "wrapped":
      return { Value: typeof value === "bigint" ? Number(value) : value };
    case "duration": {
      const ms = toMs(value as DurationNs);
      return { Seconds: Math.trunc(ms / 1_000), Nanos: Number((value as DurationNs) % 1_000_000_000n) };
    }
    case "list":
      return (value as readonly unknown[]).map((item) => goValue(field.of, item));
    case "map":
      return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, goValue(field.of, item)]));
    default:
      return value;
  }
}

function goName(jsonName: string): string {
  return jsonName.charAt(0).toUpperCase() + jsonName.slice(1);
}
