import type { DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { HIDDEN } from "../base/index.ts";
import { loadEnvoyTypes } from "../proto/envoy-types.ts";
import { NameTableSchema } from "../proto/gen/istio/networking/nds/v1/nds_pb.ts";
import { anyJson } from "../proto/message-json.ts";
import { nameIn } from "../proto/wire.ts";
import { referredNames } from "./referred-names.ts";
import { isDebug } from "./resource-types.ts";
import type { Received } from "./types.ts";

/** Reads resources, each once. */
export interface ResourceTeller {
  /** In protobuf's JSON form, without private keys. */
  json(resource: Pick<Received, "any">): JsonObject;
  jsonOf(typeUrl: string, value: Uint8Array): JsonObject;
  /** A message with its `@type` in the form that `json` gives it; as it is where nothing is known of the type. */
  canonical(json: JsonObject): JsonObject;
  /** The bytes without private keys: the very same where there are none; undefined where they cannot be taken out. */
  withoutKeys(resource: Received): Uint8Array | undefined;
  /** Names of another type that it refers to. */
  referredNames(resource: Received, typeUrl: string): readonly string[];
}

/** Envoy's descriptors are loaded with the first resource that is read. */
export function createTeller(): ResourceTeller {
  const known = new WeakMap<object, JsonObject>();
  let loaded: ReturnType<typeof loadEnvoyTypes> | undefined;
  const types = () => {
    loaded ??= loadEnvoyTypes();
    return loaded;
  };
  const find = (typeName: string): DescMessage | undefined =>
    typeName === NameTableSchema.typeName ? NameTableSchema : types().find(typeName);
  const tell = (any: Told): JsonObject => debugJson(any) ?? anyJson(any, { find, hidden: HIDDEN });
  const json = ({ any }: Pick<Received, "any">): JsonObject => {
    const made = known.get(any) ?? tell(any);
    known.set(any, made);
    return made;
  };
  return {
    json,
    jsonOf: (typeUrl, value) => tell({ typeUrl, value }),
    canonical({ "@type": typeUrl, ...fields }) {
      try {
        return tell({ typeUrl: String(typeUrl), value: types().encode(nameIn(String(typeUrl)), fields) });
      } catch {
        return { "@type": String(typeUrl), ...fields }; // of another project, or with a value that was hidden
      }
    },
    withoutKeys(resource) {
      const { "@type": typeUrl, ...fields } = json(resource);
      if (!JSON.stringify(fields).includes(JSON.stringify(HIDDEN))) return resource.any.value;
      try {
        return types().encode(nameIn(String(typeUrl)), withoutHidden(fields) ?? {});
      } catch {
        return undefined;
      }
    },
    referredNames: (resource, typeUrl) => referredNames(json(resource), typeUrl),
  };
}

type Told = Pick<Received["any"], "typeUrl" | "value">;

/** Undefined for what consists of hidden values alone. */
function withoutHidden(value: JsonValue): JsonValue | undefined {
  if (value === HIDDEN) return undefined;
  if (Array.isArray(value)) return value.map(withoutHidden).filter((item) => item !== undefined);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).flatMap(([name, item]) => {
    const left = withoutHidden(item);
    return left === undefined ? [] : [[name, left] as const];
  });
  return kept.length === 0 && Object.keys(value).length > 0 ? undefined : Object.fromEntries(kept);
}

/** What istiod says of itself over ADS is JSON, whatever type it claims. Source: istio/istio pilot/pkg/xds/debuggen.go. */
function debugJson({ typeUrl, value }: Told): JsonObject | undefined {
  if (!isDebug(typeUrl)) return undefined;
  try {
    return { "@type": typeUrl, value: JSON.parse(Buffer.from(value).toString("utf8")) };
  } catch {
    return undefined;
  }
}
