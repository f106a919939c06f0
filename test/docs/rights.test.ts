import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { RIGHTS } from "../../src/local/doctor/rights-table.ts";

interface Role {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

const PLACES: Readonly<Record<string, string>> = { "istio-system": "istio", shop: "workload" };

test("the Roles of docs/cluster.md are the rights that doctor asks for, no more and no less", () => {
  const [, yaml = ""] = /```yaml\n([\s\S]*?)```/.exec(readFileSync("docs/cluster.md", "utf8")) ?? [];
  const documented = parseAllDocuments(yaml).flatMap((document) => rightsOf(document.toJS() as Role));
  const asked = RIGHTS.flatMap(({ command, where, group, resource, verbs }) =>
    verbs.map((verb) => `${command}, ${where}: ${verb} ${resource}.${group}`),
  );
  expect(documented.sort()).toEqual(asked.sort());
});

function rightsOf({ metadata: { name, namespace = "" }, rules }: Role): string[] {
  const command = name.replace("pilotboat-", "");
  const where = PLACES[namespace] ?? "cluster";
  return rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => `${command}, ${where}: ${verb} ${resource}.${group}`)),
    ),
  );
}
