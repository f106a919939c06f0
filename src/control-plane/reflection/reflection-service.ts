import { create, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "../../grpc/index.ts";
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../proto/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type MessageCall, type Methods, streaming } from "../calls/serve-calls.ts";
import { loadServedFiles, type ServedFiles } from "./served-files.ts";

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/**
 * gRPC server reflection, v1 and v1alpha, by which grpcurl and others need no proto file. Envoy's descriptors are loaded
 * with the first question about a file. Source: grpc/grpc doc/server-reflection.md, grpc-go reflection/serverreflection.go.
 */
export function reflectionMethods(services: readonly DescService[]): Methods {
  const names = [...services, ServerReflection, ServerReflectionAlpha].map(({ typeName }) => ({ name: typeName }));
  let files: ServedFiles | undefined;
  const { serverReflectionInfo } = ServerReflection.method;
  const serve = (call: MessageCall<ServerReflectionRequest, ServerReflectionResponse>): Promise<void> => {
    const sent = new Set<string>();
    return call.read((request) => {
      const { host: validHost, messageRequest: question } = request;
      if (question.case !== "listServices") files ??= loadServedFiles();
      const messageResponse = question.case === "listServices" ? list(names) : answer(question, files, sent);
      return call.send(
        create(ServerReflectionResponseSchema, { validHost, originalRequest: request, messageResponse }),
      );
    });
  };
  return {
    ...streaming(serverReflectionInfo, serve),
    ...streaming(serverReflectionInfo, serve, ServerReflectionAlpha.method.serverReflectionInfo),
  };
}

function list(service: readonly { readonly name: string }[]): Answer {
  return { case: "listServicesResponse", value: { service: [...service] } };
}

function answer(
  question: ServerReflectionRequest["messageRequest"],
  files: ServedFiles | undefined,
  sent: Set<string>,
): Answer {
  switch (question.case) {
    case "fileByFilename":
      return fileOr(files?.named(question.value), `no file "${question.value}"`);
    case "fileContainingSymbol":
      return fileOr(files?.declaring(question.value), `no symbol "${question.value}"`);
    case "allExtensionNumbersOfType":
      if (files?.declaring(question.value) === undefined) return missing(`no symbol "${question.value}"`);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value } };
    default:
      return missing("there are no extensions");
  }

  function fileOr(file: ReturnType<ServedFiles["named"]>, why: string): Answer {
    if (files === undefined || file === undefined) return missing(why);
    return { case: "fileDescriptorResponse", value: { fileDescriptorProto: files.withImports(file, sent) } };
  }
}

function missing(errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode: Code.NOT_FOUND, errorMessage } };
}
