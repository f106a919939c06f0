import { type DescFile, type FileRegistry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { loadEnvoyFiles } from "../../proto/envoy-types.ts";
import { file_grpc_reflection_v1_reflection } from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { file_grpc_reflection_v1alpha_reflection } from "../../proto/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { file_istio_networking_nds_v1_nds } from "../../proto/gen/istio/networking/nds/v1/nds_pb.ts";
import { file_istio_v1_auth_ca } from "../../proto/gen/istio/v1/auth/ca_pb.ts";

/** The descriptors that reflection shows: all of Envoy's API, Istio's CA and name table, and reflection itself. */
export interface ServedFiles {
  named(name: string): DescFile | undefined;
  /** The file that declares a message, an enum, a service, or something in them. */
  declaring(symbol: string): DescFile | undefined;
  /** The file, and of what it imports all that `sent` does not have; they are added there. Source: grpc-go reflection. */
  withImports(file: DescFile, sent: Set<string>): Uint8Array[];
}

const OWN_FILES = [
  file_istio_v1_auth_ca,
  file_istio_networking_nds_v1_nds,
  file_grpc_reflection_v1_reflection,
  file_grpc_reflection_v1alpha_reflection,
];

export function loadServedFiles(): ServedFiles {
  const envoy = loadEnvoyFiles();
  const byName = new Map([...OWN_FILES, ...envoy.files].map((file) => [file.proto.name, file]));
  return {
    named: (name) => byName.get(name),
    declaring(symbol) {
      const found = declaringFile(envoy, symbol);
      return found === undefined ? undefined : byName.get(found.proto.name);
    },
    withImports(file, sent) {
      const files: Uint8Array[] = [];
      const add = (one: DescFile): void => {
        sent.add(one.proto.name);
        files.push(toBinary(FileDescriptorProtoSchema, one.proto));
        for (const name of one.proto.dependency) {
          const imported = byName.get(name);
          if (imported !== undefined && !sent.has(name)) add(imported);
        }
      };
      add(file);
      return files;
    },
  };
}

/** Of a field, a value or a method the file of what it is in. */
function declaringFile(envoy: FileRegistry, symbol: string): DescFile | undefined {
  const found = envoy.get(symbol)?.file ?? OWN_FILES.find((file) => declares(file, symbol));
  const dot = symbol.lastIndexOf(".");
  return found ?? (dot < 0 ? undefined : declaringType(envoy, symbol.slice(0, dot), symbol.slice(dot + 1)));
}

function declaringType(envoy: FileRegistry, typeName: string, member: string): DescFile | undefined {
  const type = envoy.get(typeName) ?? OWN_FILES.flatMap(declaredIn).find((one) => one.typeName === typeName);
  if (type === undefined) return undefined;
  const members: readonly { readonly name: string }[] =
    type.kind === "message" ? [...type.fields, ...type.oneofs] : type.kind === "service" ? type.methods : [];
  return members.some(({ name }) => name === member) ? type.file : undefined;
}

const declares = (file: DescFile, symbol: string): boolean =>
  declaredIn(file).some(({ typeName }) => typeName === symbol);

function declaredIn(file: DescFile) {
  return [...file.messages, ...file.enums, ...file.services];
}
