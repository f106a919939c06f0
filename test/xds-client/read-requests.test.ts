import { describe, expect, test } from "vitest";
import { readRequests, readType } from "../../src/xds-client/index.ts";

const CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const read = (text: string, isDelta = false) => readRequests(text, '"request.yaml"', isDelta);

describe("request.yaml", () => {
  test.each([
    ["lowerCamelCase", `typeUrl: ${CDS}\nresourceNames: [a]\nnode: {id: n, metadata: {NAMESPACE: x}}`],
    ["the original names", `type_url: ${CDS}\nresource_names: [a]\nnode: {id: n, metadata: {NAMESPACE: x}}`],
    ["JSON", JSON.stringify({ typeUrl: CDS, resourceNames: ["a"], node: { id: "n", metadata: { NAMESPACE: "x" } } })],
  ])("has %s", (_, text) => {
    const { node, wanted } = read(text);
    expect(wanted).toEqual([{ typeUrl: CDS, names: ["a"] }]);
    expect(node).toMatchObject({ id: "n", metadata: { NAMESPACE: "x" } });
  });

  test("may have several documents, a list, and every field of the message", () => {
    const other = "type.googleapis.com/envoy.config.listener.v3.Listener";
    const node = "node: {id: n, userAgentVersion: '1', clientFeatures: [a], locality: {region: r}}";
    const wanted = [CDS, other].map((typeUrl) => ({ typeUrl, names: [] }));
    expect(read(`${node}\ntypeUrl: ${CDS}\nversionInfo: "1"\n---\ntypeUrl: ${other}\n`).wanted).toEqual(wanted);
    expect(read(`- typeUrl: ${CDS}\n- typeUrl: ${other}\n`).wanted).toEqual(wanted);
  });

  test("may name a type as the command line does, and one type in several requests", () => {
    const eds = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    const text =
      "typeUrl: eds\nresourceNames: [a, b]\n---\ntypeUrl: CDS\n---\ntypeUrl: endpoints\nresourceNames: [b, c]";
    expect(read(text).wanted).toEqual([
      { typeUrl: eds, names: ["a", "b", "c"] },
      { typeUrl: CDS, names: [] },
    ]);
    const all = `typeUrl: eds\nresourceNames: [a]\n---\ntypeUrl: ${eds}`;
    expect(read(all).wanted).toEqual([{ typeUrl: eds, names: [] }]);
    const delta = "typeUrl: eds\nresourceNamesSubscribe: [a]\ninitialResourceVersions: {a: '1'}\n";
    const other = "---\ntypeUrl: envoy.config.endpoint.v3.ClusterLoadAssignment\nresourceNamesSubscribe: [b]\n";
    expect(read(delta + other, true).wanted).toEqual([{ typeUrl: eds, names: ["a", "b"], versions: { a: "1" } }]);
  });

  test("of the incremental form has names to subscribe to and versions", () => {
    const text = `typeUrl: ${CDS}\nresourceNamesSubscribe: [a]\ninitialResourceVersions: {a: "7"}`;
    expect(read(text, true).wanted).toEqual([{ typeUrl: CDS, names: ["a"], versions: { a: "7" } }]);
  });

  test.each([
    ["a mistyped field", `typeUrl: ${CDS}\nnode: {ids: x}`, false, /request 1: node: ids: .*no such field/],
    ["a field of the other form", `resourceNamesSubscribe: [a]`, false, /resourceNamesSubscribe: .*no such field/],
    ["no type", "node: {id: x}", false, /request 1 has no "typeUrl"/],
    ["an unknown type", "typeUrl: cdss", false, /request 1: typeUrl: "cdss" is no type/],
    ["nothing", "", false, /there is no request in it/],
    ["a text", "hello", false, /wanted an object/],
    ["broken YAML", "a: [", false, /Cannot use "request.yaml"/],
  ])("with %s is refused with its place", (_, text, isDelta, message) => {
    expect(() => read(text, isDelta)).toThrow(message);
  });
});

test.each([
  ["cds", CDS],
  ["CDS", CDS],
  ["clusters", CDS],
  ["envoy.config.cluster.v3.Cluster", CDS],
  [CDS, CDS],
  ["istio.io/debug", "istio.io/debug"],
  ["nds", "type.googleapis.com/istio.networking.nds.v1.NameTable"],
  ["cdx", undefined],
])("the type %s", (word, typeUrl) => {
  expect(readType(word)).toBe(typeUrl);
});
