import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { DiscoveryResponseSchema } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { StatusSchema } from "../../src/proto/gen/google/rpc/status_pb.ts";
import { IstioCertificateRequestSchema } from "../../src/proto/gen/istio/v1/auth/ca_pb.ts";
import { encodeFields, readFields } from "../../src/proto/wire.ts";

test("fields are encoded as the generated message encodes them, in the order of their numbers", () => {
  const message = { versionInfo: "1/ü", typeUrl: "t", nonce: "n", canary: true };
  expect(Buffer.from(encodeFields({ 5: "n", 3: true, 4: "t", 1: "1/ü", 6: undefined }))).toEqual(
    Buffer.from(toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, message))),
  );
});

test.each([0, 1, 86_400, 2 ** 40])("the number %i and bytes of a message arrive", (seconds) => {
  const metadata = encodeFields({ 1: encodeFields({ 1: "CertSigner", 2: encodeFields({ 3: "" }) }) });
  const request = fromBinary(IstioCertificateRequestSchema, encodeFields({ 1: "csr", 3: seconds, 4: metadata }));
  expect(request).toMatchObject({ csr: "csr", validityDuration: BigInt(seconds), metadata: { CertSigner: "" } });
});

test("what is not taken is skipped, whatever its kind", () => {
  const status = toBinary(StatusSchema, create(StatusSchema, { code: 13, message: "bad key" }));
  const fixed = Buffer.from([0x4d, 1, 2, 3, 4, 0x51, 1, 2, 3, 4, 5, 6, 7, 8]); // fields 9 and 10: 32 and 64 bits
  const seen: unknown[] = [];
  readFields(
    Buffer.concat([fixed, status, fixed]),
    (field, reader) => field === 2 && seen.push(reader.string()) > 0,
    (field, reader) => field === 1 && seen.push(reader.int32()) > 0,
  );
  expect(seen).toEqual([13, "bad key"]);
  readFields(status, () => false);
  expect(() => readFields(status.subarray(0, -1), () => false)).toThrow();
});
