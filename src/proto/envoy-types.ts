import { gunzipSync } from "node:zlib";
import {
  createFileRegistry,
  type DescMessage,
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

/** The messages of Envoy's API. */
export interface EnvoyTypes {
  /** The bytes of the message `typeName`; throws FieldProblem, which has the path of the field that does not fit. */
  encode(typeName: string, json: JsonValue): Uint8Array;
  /** The message of that full name; undefined where Envoy's API has none. */
  find(typeName: string): DescMessage | undefined;
}

/** Loads the descriptors of the usual messages, in some 20 ms; the first unusual one loads the rest, in some 100. */
export function loadEnvoyTypes(): EnvoyTypes {
  const usual = loadRegistry(USUAL_DESCRIPTORS);
  let all: FileRegistry | undefined;
  const find = (typeName: string): DescMessage | undefined => {
    const known = (all ?? usual).getMessage(typeName);
    if (known !== undefined || all !== undefined) return known;
    all = loadEnvoyFiles();
    return all.getMessage(typeName);
  };
  const registry: Registry = { ...usual, getMessage: find };
  return {
    find,
    encode(typeName, json) {
      const type = find(typeName);
      if (type === undefined) throw new FieldProblem([], `there is no message ${typeName}`);
      try {
        return toBinary(type, fromJson(type, json, { registry }));
      } catch {
        throw explainFailure(type, json, registry); // finds the field, which the library does not tell
      }
    },
  };
}

/** Every file of Envoy's API, with those that they import. */
export function loadEnvoyFiles(): FileRegistry {
  return loadRegistry(ENVOY_DESCRIPTORS);
}

function loadRegistry(descriptors: string): FileRegistry {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, gunzipSync(Buffer.from(descriptors, "base64"))));
}
