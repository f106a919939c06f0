import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import manifest from "../../package.json" with { type: "json" };
// @ts-expect-error a plain script without types
import { billOfMaterials } from "../../scripts/release/bill-of-materials.mjs";
// @ts-expect-error a plain script without types
import { changes } from "../../scripts/release/changes.mjs";

test("changes stand below their rooms, and a subject without a room is not lost", () => {
  expect(changes("1.2.3", ["xds: a", "agent: b", "no room", "xds: c: d"])).toBe(
    "## 1.2.3\n\n### agent\n\n- b\n\n### other\n\n- no room\n\n### xds\n\n- a\n- c: d\n",
  );
});

test("the bill of materials names every bundled package, Bun and Envoy, each once, by package URL", () => {
  const { components, metadata } = billOfMaterials();
  expect(metadata.component.purl).toBe(`pkg:npm/pilotboat@${manifest.version}`);
  const purls: string[] = components.map(({ purl }: { purl: string }) => purl);
  expect(new Set(purls).size).toBe(purls.length);
  const bundled = JSON.parse(readFileSync("dist/bundled.json", "utf8")) as { name: string; version: string }[];
  for (const { name, version } of bundled) expect(purls).toContain(`pkg:npm/${name.replace("@", "%40")}@${version}`);
  expect(purls).toContain(`pkg:npm/bun@${manifest.devDependencies.bun}`);
  expect(purls.join("\n")).toMatch(/^pkg:github\/envoyproxy\/envoy@v\d+\.\d+\.\d+$/m);
});

test.each(readdirSync(".github/workflows"))("%s runs scripts that there are", (file) => {
  const { jobs } = parse(readFileSync(join(".github/workflows", file), "utf8"));
  const steps = Object.values(jobs as Record<string, { steps: { run?: string }[] }>).flatMap((job) => job.steps);
  const scripts = steps.flatMap(({ run = "" }) => /^npm (?:run )?(\S+)/.exec(run)?.[1] ?? []);
  expect(scripts.length).toBeGreaterThan(0);
  for (const script of scripts) expect(["ci", ...Object.keys(manifest.scripts)]).toContain(script);
});
