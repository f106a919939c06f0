import { gunzipSync } from "node:zlib";
import {
  createFileRegistry,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type Registry,
} from "@bufbuild/protobuf";
import { type Any, anyPack, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { describeError } from "../base/index.ts";
import { ENVOY_DESCRIPTORS } from "./envoy-descriptors.gen.ts";

/** Turns resources in Envoy's JSON form into protobuf. */
export interface EnvoyTypes {
  /** Packs JSON as the message `typeName`; throws with the path of the field that does not fit. */
  pack(typeName: string, json: JsonValue): Any;
}

/** Loads the descriptors of all Envoy v3 messages; takes some 100 ms, once. */
export function loadEnvoyTypes(): EnvoyTypes {
  const set = fromBinary(FileDescriptorSetSchema, gunzipSync(Buffer.from(ENVOY_DESCRIPTORS, "base64")));
  const registry = createFileRegistry(set);
  return {
    pack(typeName, json) {
      const type = registry.getMessage(typeName);
      if (type === undefined) throw new Error(`there is no message ${typeName}`);
      return anyPack(type, parse(type, json, registry));
    },
  };
}

function parse(type: DescMessage, json: JsonValue, registry: Registry) {
  try {
    return fromJson(type, json, { registry });
  } catch (error) {
    throw new Error(describeError(error).replace(/^cannot decode message \S+ from JSON: /, ""), { cause: error });
  }
}
