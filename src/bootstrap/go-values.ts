import { type DurationNs, formatProtoDuration } from "../base/index.ts";
import {
  encodeMessage,
  type Field,
  type FieldType,
  type MessageSchema,
  PROXY_CONFIG,
  type ProxyConfig,
  zeroOf,
} from "../istio/mesh/index.ts";
import { type NodeDescription, TYPED_FIELDS } from "../node/index.ts";
import { goNil, goNilCollection, goRecord, goTextMap } from "./go-record.ts";

type Fields = Readonly<Record<string, unknown>>;

/**
 * ProxyConfig as a Go template sees it: fields by Go name, wrappers as `{Value}`, durations as `{Seconds, Nanos}`, members
 * of a oneof under its holder, nested messages with getters (`GetZipkin`). Source: generated code of istio/api.
 */
export function goProxyConfig(config: ProxyConfig): object {
  const type = { name: "*v1alpha1.ProxyConfig", json: encodeMessage(PROXY_CONFIG, config) };
  return goRecord(fieldsOf(PROXY_CONFIG, config), type);
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

function fieldsOf(schema: MessageSchema, value: Fields): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const holders = new Map<string, Record<string, unknown>>();
  for (const [name, field] of Object.entries(schema)) {
    if (field.oneof === undefined) fields[goName(name)] = goValue(field, value[name], name);
    else {
      const holder = holders.get(field.oneof) ?? {};
      if (value[name] !== undefined) holder[goName(name)] = goValue(field, value[name], name);
      holders.set(field.oneof, holder);
    }
  }
  for (const [group, members] of holders) {
    const name = goName(group);
    fields[name] = Object.keys(members).length === 0 ? undefined : goRecord(members, { name: `is${name}`, json: null });
  }
  return fields;
}

/** What the methods of a message answer, where `value` is what is set in it. */
function gettersOf(schema: MessageSchema, value: Fields): Record<string, unknown> {
  const entries = Object.entries(schema).map(([name, field]) => [
    `Get${goName(name)}`,
    goValue(field, value[name] ?? (field.oneof === undefined ? undefined : zeroOf(field)), name),
  ]);
  return Object.fromEntries(entries);
}

function goValue(field: Field | FieldType, value: unknown, name: string): unknown {
  switch (field.kind) {
    case "message": {
      const type = `*${goName(name)}`;
      if (value === undefined) return goNil(type, () => gettersOf(field.of, {}));
      const fields = { ...fieldsOf(field.of, value as Fields), ...gettersOf(field.of, value as Fields) };
      return goRecord(fields, { name: type, json: encodeMessage(field.of, value as Fields) });
    }
    case "wrapped":
      return goWrapper(value);
    case "duration":
      return goDuration(value as DurationNs | undefined);
    case "list":
      return (value as readonly unknown[] | undefined)?.map((item) => goValue(field.of, item, name)) ?? [];
    case "map": {
      if (field.of.kind === "string") return goTextMap((value ?? {}) as Record<string, string>);
      const entries = Object.entries((value ?? {}) as Fields);
      return Object.fromEntries(entries.map(([key, item]) => [key, goValue(field.of, item, name)]));
    }
    default:
      return value ?? zeroOf(field);
  }
}

function goWrapper(value: unknown): object {
  const type = "*wrapperspb.Value";
  if (value === undefined) return goNil(type, () => ({ GetValue: 0 }));
  const plain = typeof value === "bigint" ? Number(value) : (value as number | boolean);
  return goRecord({ Value: plain, GetValue: plain }, { name: type, json: plain });
}

function goDuration(value: DurationNs | undefined): object {
  const type = "*durationpb.Duration";
  if (value === undefined) return goNil(type, () => ({ GetSeconds: 0, GetNanos: 0 }));
  const [seconds, nanos] = [Number(value / 1_000_000_000n), Number(value % 1_000_000_000n)];
  const fields = { Seconds: seconds, Nanos: nanos, GetSeconds: seconds, GetNanos: nanos };
  return goRecord(fields, { name: type, json: formatProtoDuration(value) });
}

/** As protoc's Go generator names a field: each part of the proto name begins with a capital, a letter after a digit is one. */
function goName(jsonName: string): string {
  return jsonName.charAt(0).toUpperCase() + jsonName.slice(1).replace(/\d[a-z]/g, (pair) => pair.toUpperCase());
}
