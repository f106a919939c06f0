import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseResources, readResources } from "../../src/control-plane/sources/resources.ts";
import { loadEnvoyTypes } from "../../src/proto/envoy-types.ts";

const types = loadEnvoyTypes();
const parse = (text: string, values: Readonly<Record<string, string>> = {}) =>
  parseResources({ file: "mesh.yaml", text }, values, types);
const countOf = (text: string): number => parse(text).flatMap(({ byType }) => [...byType.values()].flat()).length;

const CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

describe("what is read", () => {
  test("every typed configuration of the quickstart becomes protobuf", async () => {
    const [group] = await readResources("examples/quickstart/xds", {}, types);
    expect(group?.byType.get(CLUSTERS)?.map(({ name }) => name)).toEqual(["inbound-mtls", "service"]);
    const text = readFileSync("examples/quickstart/xds/mesh.yaml", "utf8");
    const bytes = [...(group?.byType.values() ?? [])]
      .flat()
      .map(({ any }) => Buffer.from(any.value).toString("latin1"));
    const wanted = new Set([...text.matchAll(/"@type": ([\w./]+)/g)].map(([, typeUrl = ""]) => typeUrl));
    expect(wanted.size).toBe(4);
    for (const typeUrl of wanted) expect(bytes.join()).toContain(typeUrl);
  });

  test("configuration of another project passes as a TypedStruct", () => {
    expect(
      countOf(`
extensions:
  - name: stats
    typed_config:
      "@type": type.googleapis.com/udpa.type.v1.TypedStruct
      type_url: type.googleapis.com/stats.PluginConfig
      value: { disable_host_header_fallback: true }`),
    ).toBe(1);
  });

  test("a message beyond the usual ones is found, too", () => {
    expect(
      countOf(`
extensions:
  - name: deny
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
      rules: { action: DENY, policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } }`),
    ).toBe(1);
  });

  test("several documents, comments, anchors, merge keys, empty lists and names in camel case", () => {
    expect(
      countOf(`
# nothing but a comment
---
clusters:
  - &a { name: a, connectTimeout: 1s }
  - { <<: *a, name: b }
listeners:
---
endpoints: [{ clusterName: c }]
`),
    ).toBe(3);
  });

  test("placeholders are values, else defaults", () => {
    const nameOf = (values: Readonly<Record<string, string>>) =>
      parse("clusters: [{ name: '${A_1:-x}-${B:-}' }]", values)[0]?.byType.get(CLUSTERS)?.[0]?.name;
    expect(nameOf({})).toBe("x-");
    expect(nameOf({ A_1: "y", B: "z" })).toBe("y-z");
  });

  test("files are read below the folder in the order of their names, others are passed over", async () => {
    const folder = mkdtempSync(join(tmpdir(), "pb-resources-"));
    try {
      writeFileSync(join(folder, "b.yml"), "clusters: [{ name: b }]");
      writeFileSync(join(folder, "a.yaml"), "clusters: [{ name: a }]");
      writeFileSync(join(folder, "a.yaml~"), "no: resources");
      const groups = await readResources(folder, {}, types);
      expect(groups.flatMap(({ byType }) => byType.get(CLUSTERS) ?? []).map(({ name }) => name)).toEqual(["a", "b"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("a folder that is not there is named", async () => {
    await expect(readResources("/nowhere", {}, types)).rejects.toMatchObject({
      code: "FILE_UNREADABLE",
      message: expect.stringContaining('"/nowhere"'),
    });
  });
});

const HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

describe("what cannot be used is told with file, place, field and what was found", () => {
  test.each([
    ["an unknown list", "klusters: []", "line 1, column 1: klusters: unknown list, wanted one of clusters,"],
    ["no mapping", "- a", 'line 1, column 1: wanted lists of resources, such as "clusters:"'],
    ["no list", "clusters: 1", "line 1, column 1: clusters: wanted a list"],
    ["YAML that is none", "clusters:\n  - {", "line 2, column"],
    ["a second document", "clusters: []\n---\nclusters: 1", "document 2, line 3, column 1: clusters: wanted a list"],
    ["no name", "clusters:\n  - type: STATIC", 'line 2, column 5: clusters[0]: it has no "name"'],
    [
      "a name twice",
      "clusters: [{ name: a },\n { name: a }]",
      'line 2, column 2: clusters[1]: "a" is also clusters[0]',
    ],
    [
      "a misspelt field",
      "clusters:\n  - name: a\n    conect_timeout: 1s",
      "line 3, column 5: clusters[0].conect_timeout: envoy.config.cluster.v3.Cluster has no such field",
    ],
    [
      "a list that is none",
      "clusters:\n - { name: a, filters: {} }",
      "line 2, column 15: clusters[0].filters: found {}, wanted a list",
    ],
    ["a nothing", "listeners: [{ name: a, filter_chains: [null] }]", "filter_chains[0]: found null, wanted an object"],
    [
      "a bad duration",
      "clusters:\n  - name: a\n    connect_timeout: 1 s",
      'line 3, column 5: clusters[0].connect_timeout: found "1 s", wanted a duration in seconds, such as "1.5s"',
    ],
    [
      "a bad enum",
      "clusters:\n  - name: a\n    type: STATICC",
      'clusters[0].type: found "STATICC", wanted one of STATIC,',
    ],
    [
      "a field deep inside",
      "clusters:\n  - name: a\n    load_assignment:\n      endpoints:\n        - lb_endpoints:\n            - endpoint: { adress: {} }",
      "line 6, column 27: clusters[0].load_assignment.endpoints[0].lb_endpoints[0].endpoint.adress: envoy.config.endpoint.v3.Endpoint has no such field",
    ],
    [
      "a field inside a typed configuration, behind an alias",
      `clusters: []\nlisteners:\n  - name: a\n    filter_chains: &c\n      - filters:\n          - typed_config:\n              "@type": ${HCM}\n              stat_prefx: x\n  - { name: b, filter_chains: *c }`,
      `line 8, column 15: listeners[0].filter_chains[0].filters[0].typed_config.stat_prefx: ${HCM.slice(20)} has no such field`,
    ],
    [
      "an unknown message",
      'extensions:\n  - name: a\n    typed_config:\n      "@type": type.googleapis.com/no.Such',
      'line 4, column 7: extensions[0].typed_config.@type: no message "type.googleapis.com/no.Such" is known',
    ],
    [
      "no @type",
      "extensions:\n  - name: a\n    typed_config: { a: 1 }",
      'extensions[0].typed_config: there is no "@type"',
    ],
    [
      "a match on something else",
      "match: { lables: {} }",
      "match.lables: unknown, wanted id, type, namespace or labels",
    ],
    ["a match with a number", "match:\n  labels: { v: 1 }", "line 2, column 3: match.labels: wanted names with texts"],
    [
      "a name table that is none",
      "names: { a: { ip: x } }",
      "line 1, column 15: names.a.ip: istio.networking.nds.v1.NameTable.NameInfo has no such field",
    ],
    ["a placeholder without value", "a:\n- ${NOWHERE}", "line 2: ${NOWHERE} has neither a value nor a default"],
    ["an alias that leads nowhere", "clusters: *x", "Unresolved alias"],
  ])("%s", (_name, text, expected) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: "RESOURCES_INVALID" }));
    expect(() => parse(text)).toThrow(/^Cannot use "mesh\.yaml", /);
    expect(() => parse(text)).toThrow(expected);
  });
});
