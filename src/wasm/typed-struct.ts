import type { EnvoyTypes } from "../proto/envoy-types.ts";

let types: Promise<EnvoyTypes> | undefined;

/**
 * The message of Envoy's that a Struct stands for, by proto-JSON; a field that it does not have is an error. Descriptors of
 * Envoy's messages are loaded when the first Struct comes, because istiod itself writes messages.
 */
export async function messageOfStruct(type: string, struct: Uint8Array): Promise<Uint8Array> {
  types ??= import("../proto/envoy-types.ts").then(({ loadEnvoyTypes }) => loadEnvoyTypes());
  const [{ fromBinary, toJson }, { StructSchema }, { FieldProblem }] = await Promise.all([
    import("@bufbuild/protobuf"),
    import("@bufbuild/protobuf/wkt"),
    import("../proto/explain-failure.ts"),
  ]);
  const { encode } = await types;
  try {
    return encode(type, toJson(StructSchema, fromBinary(StructSchema, struct)));
  } catch (error) {
    throw error instanceof FieldProblem ? new Error(`${error.path.join(".")}: ${error.message}`) : error;
  }
}
