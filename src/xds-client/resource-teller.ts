import type { DescMessage, JsonObject } from "@bufbuild/protobuf";
import { HIDDEN } from "../base/index.ts";
import { loadEnvoyTypes } from "../proto/envoy-types.ts";
import { NameTableSchema } from "../proto/gen/istio/networking/nds/v1/nds_pb.ts";
import { anyJson } from "../proto/message-json.ts";
import { referredNames } from "./referred-names.ts";
import { TYPE_PREFIX } from "./resource-types.ts";
import type { Received } from "./types.ts";

/** Reads resources, each once. */
export interface ResourceTeller {
  /** In protobuf's JSON form, without private keys. */
  json(resource: Pick<Received, "any">): JsonObject;
  /** Names of another type that it refers to. */
  referredNames(resource: Received, typeUrl: string): readonly string[];
}

/** Envoy's descriptors are loaded with the first resource that is read. */
export function createTeller(): ResourceTeller {
  const known = new WeakMap<object, JsonObject>();
  let types: ReturnType<typeof loadEnvoyTypes> | undefined;
  const find = (typeName: string): DescMessage | undefined => {
    if (typeName === NameTableSchema.typeName) return NameTableSchema;
    types ??= loadEnvoyTypes();
    return types.find(typeName);
  };
  const json = ({ any }: Pick<Received, "any">): JsonObject => {
    const before = known.get(any);
    if (before !== undefined) return before;
    const made = debugJson(any) ?? anyJson(any, { find, hidden: HIDDEN });
    known.set(any, made);
    return made;
  };
  return { json, referredNames: (resource, typeUrl) => referredNames(json(resource), typeUrl) };
}

/** What istiod says of itself over ADS is JSON, whatever type it claims. Source: istio/istio pilot/pkg/xds/debuggen.go. */
function debugJson({ typeUrl, value }: Received["any"]): JsonObject | undefined {
  if (!typeUrl.replace(TYPE_PREFIX, "").startsWith("istio.io/debug")) return undefined;
  try {
    return { "@type": typeUrl, value: JSON.parse(Buffer.from(value).toString("utf8")) };
  } catch {
    return undefined;
  }
}
