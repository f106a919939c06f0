import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { DiscoveryResponseSchema } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { StatusSchema } from "../../src/proto/gen/google/rpc/status_pb.ts";
import { IstioCertificateRequestSchema } from "../../src/proto/gen/istio/v1/auth/ca_pb.ts";
import { eachField, encodeFields, readFields } from "../../src/proto/wire.ts";

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

test("the places of fields are those that a reader finds, in any part of the bytes; what is cut off or no protobuf throws", () => {
  const long = "x".repeat(300); // its length takes two bytes
  const fixed = Buffer.from([0x4d, 1, 2, 3, 4, 0x51, 1, 2, 3, 4, 5, 6, 7, 8]);
  const entry = Buffer.concat([fixed, encodeFields({ 1: 2 ** 40, 2: long, 3: "", 4000: "far" }), fixed]);
  const bytes = Buffer.concat([Buffer.from("before"), entry, Buffer.from("behind")]);
  const found: unknown[] = [];
  const look = (from: number, to: number): void =>
    eachField(bytes, from, to, (field, start, end) => found.push([field, bytes.toString("latin1", start, end)]));
  look(6, 6 + entry.length);
  expect(found).toEqual([
    [2, long],
    [3, ""],
    [4_000, "far"],
  ]);
  expect(() => look(6, 5 + entry.length)).toThrow("end within a field");
  expect(() => eachField(Buffer.from([0x80]), 0, 1, () => undefined)).toThrow("end within a field");
  expect(() => eachField(Buffer.from([0x0b, 0x0c]), 0, 2, () => undefined)).toThrow("wire type 3");
  expect(() => eachField(Buffer.from([0x0a, 0x05, 1]), 0, 3, () => expect.unreachable())).toThrow("end within a field");
});
