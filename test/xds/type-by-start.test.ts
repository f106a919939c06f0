import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  DeltaDiscoveryResponseSchema,
  DiscoveryResponseSchema,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { typeByStart } from "../../src/xds/peek.ts";
import { WRAPPER_TYPE } from "../../src/xds/types.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { any, message } from "../support/wire-messages.ts";

const CLUSTER = "envoy.config.cluster.v3.Cluster";
const typeUrl = `type.googleapis.com/${CLUSTER}`;
const value = Buffer.alloc(10_000, 255);

/** Every cut shows the type or nothing, and a longer start never shows less. */
function expectFrom(variant: Variant, whole: Buffer, wanted: string): number {
  let from = whole.length + 1;
  for (let at = Math.min(whole.length, 600); at >= 0; at--) {
    const found = typeByStart(variant, whole.subarray(0, at));
    if (found === wanted && from === whole.length + 1) from = at;
    if (found === undefined) {
      for (let before = at; before >= 0; before--)
        expect(typeByStart(variant, whole.subarray(0, before))).toBe(undefined);
      return at + 1;
    }
    expect(found).toBe(wanted);
  }
  return from;
}

test("in Istio's order of fields the type shows within the first bytes, in both variants", () => {
  const sotw = toBinary(
    DiscoveryResponseSchema,
    create(DiscoveryResponseSchema, { versionInfo: "v", resources: [{ typeUrl, value }], typeUrl, nonce: "n" }),
  );
  expect(expectFrom(SOTW, Buffer.from(sotw), typeUrl)).toBeLessThan(100);
  const delta = toBinary(
    DeltaDiscoveryResponseSchema,
    create(DeltaDiscoveryResponseSchema, {
      systemVersionInfo: "v",
      resources: [{ name: "web", version: "1", resource: { typeUrl, value } }],
      typeUrl,
      nonce: "n",
    }),
  );
  expect(expectFrom(DELTA, Buffer.from(delta), typeUrl)).toBeLessThan(120);
});

test("fields in another order show it as soon as the first resource's type has come", () => {
  const first = message([3, "a name"], [9, 12_345], [4, "alias"], [2, any(CLUSTER, value)]);
  const whole = message([6, "gone"], [5, "nonce"], [4, typeUrl], [77, 1], [2, first], [2, message([2, any("other")])]);
  expect(expectFrom(DELTA, whole, typeUrl)).toBeLessThan(250);
});

test.each([
  ["no resources", SOTW, message([1, "v"], [4, typeUrl], [5, "n"])],
  ["a first resource without its Any", DELTA, message([2, message([3, "web"])], [2, message([2, any(CLUSTER)])])],
  ["a value before its type, and cut within", SOTW, message([2, message([2, value], [1, typeUrl])]).subarray(0, 4_096)],
  ["bytes that are no message", SOTW, Buffer.alloc(64, 0xff)],
  ["nothing", DELTA, Buffer.alloc(0)],
])("%s: it does not show", (_, variant, bytes) => {
  expect(typeByStart(variant, bytes)).toBe(undefined);
});

test("a resource in a wrapper shows the wrapper, which is not passed on", () => {
  const wrapped = message([2, message([1, WRAPPER_TYPE], [2, message([3, "web"], [2, any(CLUSTER, value)])])]);
  expect(typeByStart(SOTW, wrapped)).toBe(WRAPPER_TYPE);
});
