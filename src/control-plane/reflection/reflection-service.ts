import { create, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { Code } from "../../grpc/index.ts";
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../proto/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { loadServedFiles, type ServedFiles } from "./served-files.ts";

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** Both versions have the same messages under other names. */
export const REFLECTION_SERVICES: readonly DescService[] = [ServerReflection, ServerReflectionAlpha];

/**
 * gRPC server reflection, by which grpcurl and others need no proto file. Envoy's descriptors are loaded with the first question
 * about a file. Source: grpc/grpc doc/server-reflection.md, grpc-go reflection/serverreflection.go.
 */
export function createReflection(services: readonly DescService[]) {
  const names = [...services, ...REFLECTION_SERVICES].map(({ typeName }) => ({ name: typeName }));
  let files: ServedFiles | undefined;
  return {
    serverReflectionInfo(call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>): void {
      const sent = new Set<string>();
      call.on("data", (request: ServerReflectionRequest) => {
        const { host: validHost, messageRequest: question } = request;
        if (question.case !== "listServices") files ??= loadServedFiles();
        const messageResponse = question.case === "listServices" ? list(names) : answer(question, files, sent);
        call.write(create(ServerReflectionResponseSchema, { validHost, originalRequest: request, messageResponse }));
      });
      call.once("end", () => call.end());
    },
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
