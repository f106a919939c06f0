import { gunzipSync } from "node:zlib";
import { createFileRegistry, fromBinary, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ENVOY_DESCRIPTORS } from "./envoy-descriptors.gen.ts";
import { explainFailure, FieldProblem } from "./explain-failure.ts";

/** Turns resources in Envoy's JSON form into protobuf. */
export interface EnvoyTypes {
  /** The bytes of the message `typeName`; throws FieldProblem, which has the path of the field that does not fit. */
  encode(typeName: string, json: JsonValue): Uint8Array;
}

/** Loads the descriptors of all Envoy v3 messages; takes some 100 ms, once. */
export function loadEnvoyTypes(): EnvoyTypes {
  const set = fromBinary(FileDescriptorSetSchema, gunzipSync(Buffer.from(ENVOY_DESCRIPTORS, "base64")));
  const registry = createFileRegistry(set);
  return {
    encode(typeName, json) {
      const type = registry.getMessage(typeName);
      if (type === undefined) throw new FieldProblem([], `there is no message ${typeName}`);
      try {
        return toBinary(type, fromJson(type, json, { registry }));
      } catch {
        throw explainFailure(type, json, registry); // finds the field, which the library does not tell
      }
    },
  };
}
