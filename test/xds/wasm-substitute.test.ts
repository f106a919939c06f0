import { expect, test } from "vitest";
import type { FieldValue } from "../../src/proto/wire.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { substituteWasm } from "../../src/xds/wasm-substitute.ts";
import { any, message } from "../support/wire-messages.ts";

const HTTP = "envoy.extensions.filters.http.wasm.v3.Wasm";
const NETWORK = "envoy.extensions.filters.network.wasm.v3.Wasm";
const EXTENSION = "envoy.config.core.v3.TypedExtensionConfig";
const URI = "oci://registry/plugin:1";

const remote = message([1, message([1, URI], [2, "_"])], [2, ""]);
const local = message([1, message([1, "/a.wasm"])]);
const code = (source: Buffer) => message([3, message([2, "envoy.wasm.runtime.v8"], [3, source])]);
const wasm = (type: string, policy: readonly (readonly [number, FieldValue])[], source = message([2, remote])) =>
  any(type, message([1, Buffer.concat([message([1, "root"], ...policy), code(source)])]));
const extension = (name: string, config: Buffer) => any(EXTENSION, message([1, name], [2, config], [1_000, "later"]));

type Json = string | number | boolean | { readonly [name: string]: Json };
const value = (json: Json): Buffer => {
  if (typeof json === "string") return message([3, json]);
  if (typeof json === "boolean") return message([4, json]);
  if (typeof json === "object") return message([5, struct(json)]);
  const double = Buffer.alloc(9, 0x11);
  double.writeDoubleLE(json, 1);
  return double;
};
const struct = (json: { readonly [name: string]: Json }): Buffer =>
  message(...Object.entries(json).map(([name, one]) => [1, message([1, name], [2, value(one)])] as const));
const typedStruct = (config: Json, type = HTTP) =>
  any("udpa.type.v1.TypedStruct", message([1, `type.googleapis.com/${type}`], [2, struct({ config })]));

function response(variant: Variant, resources: readonly Buffer[]): Buffer {
  const { anyInResource, ...fields } = variant.response;
  const entry = (one: Buffer, at: number) =>
    anyInResource === undefined ? one : message([1, `v${at}`], [anyInResource, one], [3, `r${at}`]);
  return message(
    [fields.versionInfo, "7"],
    ...resources.map((one, at) => [fields.resources, entry(one, at)] as const),
    [fields.nonce, "n"],
  );
}

function convert(resources: readonly Buffer[], variant: Variant = DELTA) {
  const told: [string, string | undefined, string | undefined][] = [];
  const bytes = substituteWasm(response(variant, resources), variant, (name, one) =>
    told.push([name, one?.effect, one?.uri]),
  );
  return { bytes: Buffer.from(bytes), told };
}

const rbac = (kind: "http" | "network", effect: "allow" | "deny") =>
  any(
    `envoy.extensions.filters.${kind}.rbac.v3.RBAC`,
    message(...(effect === "deny" ? [[1, new Uint8Array()] as const] : []), [
      kind === "http" ? 6 : 3,
      `wasm-default-${effect}`,
    ]),
  );

const POLICIES = [
  ["FAIL_OPEN", [[7, 3]], "allow"],
  ["FAIL_CLOSED", [[7, 2]], "deny"],
  ["FAIL_RELOAD", [[7, 1]], "deny"],
  ["none", [], "deny"],
  ["the old fail_open", [[5, true]], "allow"],
  ["FAIL_CLOSED over the old fail_open", [[5, true], [7, 2]], "deny"], // biome-ignore format: one row, one line
] as const satisfies readonly (readonly [string, readonly (readonly [number, FieldValue])[], "allow" | "deny"])[];

test.each(POLICIES)("a remote module with policy %s is replaced", (_name, policy, effect) => {
  for (const variant of [DELTA, SOTW]) {
    for (const [type, kind] of [
      [HTTP, "http"],
      [NETWORK, "network"],
    ] as const) {
      // biome-ignore format: one line
      const { bytes, told } = convert([extension("ns.plugin", wasm(type, policy))], variant);
      expect(bytes).toEqual(response(variant, [extension("ns.plugin", rbac(kind, effect))]));
      expect(told).toEqual([["ns.plugin", effect, URI]]);
    }
  }
});

test.each<[Json, "allow" | "deny"]>([
  [{ failure_policy: "FAIL_OPEN" }, "allow"],
  [{ failurePolicy: 3 }, "allow"],
  [{ failurePolicy: "UNSPECIFIED", failOpen: true }, "allow"],
  [{ fail_open: true }, "allow"],
  [{ failure_policy: "FAIL_CLOSED", fail_open: true }, "deny"],
  [{}, "deny"],
])("the same in a TypedStruct: %j", (policy, effect) => {
  const config = { ...(policy as object), vm_config: { code: { remote: { http_uri: { uri: URI } } } } };
  const { bytes, told } = convert([extension("ns.plugin", typedStruct(config))]);
  expect(bytes).toEqual(response(DELTA, [extension("ns.plugin", rbac("http", effect))]));
  expect(told).toEqual([["ns.plugin", effect, URI]]);
});

test("everything else keeps its bytes: local modules, other filters, other TypedStructs, and what is no filter", () => {
  const others = [
    extension("local", wasm(HTTP, [], message([1, local]))),
    extension("struct", typedStruct({ vm_config: { code: { local: { filename: "/a" } } } })),
    extension("other struct", typedStruct({ vm_config: { code: { remote: {} } } }, "stats.PluginConfig")),
    extension("neither", wasm(HTTP, [], Buffer.alloc(0))),
    extension("rbac", rbac("http", "allow")),
    any("google.protobuf.Empty"),
  ];
  for (const variant of [DELTA, SOTW]) {
    const original = response(variant, others);
    expect(substituteWasm(original, variant, () => undefined)).toBe(original);
  }
  const { bytes, told } = convert([...others, extension("gone", wasm(HTTP, []))]);
  expect(bytes).toEqual(response(DELTA, [...others, extension("gone", rbac("http", "deny"))]));
  expect(told.map(([name, effect]) => [name, effect]).at(-1)).toEqual(["gone", "deny"]);
});

test("what is no protobuf throws", () => {
  expect(() => substituteWasm(Buffer.from([0x12, 0xff]), DELTA, () => undefined)).toThrow();
});
