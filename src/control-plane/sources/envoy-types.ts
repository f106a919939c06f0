import { gunzipSync } from "node:zlib";
import {
  createFileRegistry,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonValue,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ENVOY_DESCRIPTORS, USUAL_DESCRIPTORS } from "./envoy-descriptors.gen.ts";
import { explainFailure, FieldProblem } from "./explain-failure.ts";

/** Turns resources in Envoy's JSON form into protobuf. */
export interface EnvoyTypes {
  /** The bytes of the message `typeName`; throws FieldProblem, which has the path of the field that does not fit. */
  encode(typeName: string, json: JsonValue): Uint8Array;
}

/** Loads the descriptors of the usual messages, in some 20 ms; the first unusual one loads the rest, in some 100. */
export function loadEnvoyTypes(): EnvoyTypes {
  const usual = loadRegistry(USUAL_DESCRIPTORS);
  let all: FileRegistry | undefined;
  const registry: Registry = {
    ...usual,
    getMessage(typeName) {
      const known = (all ?? usual).getMessage(typeName);
      if (known !== undefined || all !== undefined) return known;
      all = loadRegistry(ENVOY_DESCRIPTORS);
      return all.getMessage(typeName);
    },
  };
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

function loadRegistry(descriptors: string): FileRegistry {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, gunzipSync(Buffer.from(descriptors, "base64"))));
}
