import { expect, test } from "vitest";
import { strategicMerge } from "../../src/inject/merge/strategic-merge.ts";
import { canonicalQuantity } from "../../src/inject/pod/quantity.ts";

const merge = (original: object, patch: object) =>
  strategicMerge("Pod", { spec: original }, { spec: patch }).spec as Readonly<Record<string, unknown>>;
const named = (...names: readonly string[]) => names.map((name) => ({ name }));

test("items merge by their key; those of the patch come in its order, others keep their place as far as that can be", () => {
  const containers = [{ name: "a", image: "1" }, { name: "b" }, { name: "c" }];
  expect(merge({ containers }, { containers: [{ name: "d" }, { name: "a", args: ["x"] }] }).containers).toEqual([
    { name: "d" },
    { name: "a", image: "1", args: ["x"] },
    ...named("b", "c"),
  ]);
  expect(merge({ containers: named("a", "b", "c") }, { containers: named("b") }).containers).toEqual(
    named("a", "b", "c"),
  );
});

test("a list without a merge key replaces the other, and null removes", () => {
  const original = { tolerations: [{ key: "a" }], nodeName: "n", securityContext: { runAsUser: 1, fsGroup: 2 } };
  const patch = { tolerations: [{ key: "b" }], nodeName: null, securityContext: { runAsUser: null } };
  expect(merge(original, patch)).toEqual({ tolerations: [{ key: "b" }], securityContext: { fsGroup: 2 } });
});

test("ports merge by their number, variables by their name, mounts by their path", () => {
  const before = { name: "a", ports: [{ containerPort: 1, name: "x" }], env: [{ name: "A", value: "1" }] };
  const after = {
    ...{ name: "a", ports: [{ containerPort: 1, protocol: "TCP" }], env: [{ name: "A", value: "2" }] },
    volumeMounts: [{ name: "v", mountPath: "/v" }],
  };
  expect(merge({ containers: [before] }, { containers: [after] }).containers).toEqual([
    {
      ...{ name: "a", ports: [{ containerPort: 1, name: "x", protocol: "TCP" }], env: [{ name: "A", value: "2" }] },
      volumeMounts: [{ name: "v", mountPath: "/v" }],
    },
  ]);
});

test("directives replace, delete, retain and order", () => {
  const volumes = [{ name: "v", emptyDir: {} }, { name: "w" }];
  expect(merge({ volumes }, { volumes: [{ name: "v", $retainKeys: ["name", "secret"], secret: {} }] }).volumes).toEqual(
    [{ name: "v", secret: {} }, { name: "w" }],
  );
  expect(merge({ volumes }, { volumes: [{ name: "w", $patch: "delete" }] }).volumes).toEqual([volumes[0]]);
  expect(merge({ volumes }, { volumes: [{ $patch: "replace", name: "" }, { name: "x" }] }).volumes).toEqual(named("x"));
  const order = { "$setElementOrder/volumes": named("w", "v"), volumes: [{ name: "v", secret: {} }] };
  expect((merge({ volumes }, order).volumes as { name: string }[]).map(({ name }) => name)).toEqual(["w", "v"]);
  expect(() => merge({ volumes }, { volumes: [{ secret: {} }] })).toThrow('no "name" to merge it by');
});

test.each([
  ["2000m", "2"],
  ["1024Mi", "1Gi"],
  ["0.5", "500m"],
  ["0.5Gi", "512Mi"],
  ["1500Mi", "1500Mi"],
  ["1000k", "1M"],
  ["100M", "100M"],
  ["1e3", "1e3"],
  ["0", "0"],
  ["1Ki", "1Ki"],
  ["1.5", "1500m"],
  ["-100m", "-100m"],
])("the quantity %s is written %s", (text, written) => {
  expect(canonicalQuantity(text, "")).toBe(written);
});

test.each(["", "1 Gi", "Gi", "1GiB", "much", "1.2.3"])('"%s" is no quantity', (text) => {
  expect(() => canonicalQuantity(text, "limits.cpu")).toThrow("limits.cpu: found");
});
