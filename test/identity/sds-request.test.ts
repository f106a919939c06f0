import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { readRequest } from "../../src/identity/sds/request.ts";
import { DiscoveryRequestSchema } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";

type Fields = NonNullable<Parameters<typeof create<typeof DiscoveryRequestSchema>>[1]>;

const encode = (request: Fields): Uint8Array =>
  toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request));

test("of a request only what counts is read, whatever else Envoy sends", () => {
  const bytes = encode({
    versionInfo: "2026-08-01T10:00:00Z/1",
    node: {
      id: "sidecar~1.1.1.1~a.b~c",
      cluster: "a",
      metadata: { id: "no", LABELS: { app: "x" } },
      userAgentName: "envoy",
    },
    resourceNames: ["default", "ROOTCA"],
    typeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
    responseNonce: "n",
    errorDetail: { code: 13, message: "bad key" },
  });
  const unknown = Buffer.from([0x38, 0x2a, 0x42, 0x01, 0x78]); // fields 7 and 8, which a later Envoy may send
  expect(readRequest(Buffer.concat([unknown, bytes, unknown]))).toEqual({
    nodeId: "sidecar~1.1.1.1~a.b~c",
    names: ["default", "ROOTCA"],
    responseNonce: "n",
    rejection: "13: bad key",
  });
});

test("what is missing is empty, and a rejection without words is one", () => {
  const empty = { nodeId: "", names: [], responseNonce: "", rejection: undefined };
  expect(readRequest(Buffer.alloc(0))).toEqual(empty);
  expect(readRequest(encode({ errorDetail: {} }))).toEqual({ ...empty, rejection: "0: " });
});

test("bytes that are no request are refused", () => {
  expect(() => readRequest(encode({ resourceNames: ["default"] }).subarray(0, -1))).toThrow();
  expect(() => readRequest(Buffer.from([0xff, 0xff, 0xff, 0x01]))).toThrow();
});
