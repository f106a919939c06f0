import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
// @ts-expect-error a plain script without types
import { protoDigest } from "../scripts/proto-digest.mjs";

const FLOORS: Readonly<Record<string, number>> = { base: 0, proto: 0.5, agent: 2, cli: 3 };
const ROOM_FLOOR = 1;

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

test("arrows between rooms point down, and rooms do not know each other", () => {
  const wrong = imports()
    .filter(({ from, to }) => roomOf(from) !== roomOf(to) && !isAllowed(from, to))
    .map(({ from, to }) => `${from} -> ${to}`);
  expect(wrong).toEqual([]);
});

test("no file is part of a circle of imports", () => {
  const edges = groupByFile(imports());
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
    if (done.has(file) || path.includes(file)) return;
    for (const { to } of edges.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  expect(circles).toEqual([]);
});

test("only the two doors touch the process's arguments, environment, signals and exit", () => {
  const touching = sourceFiles().filter((file) =>
    /\bprocess\.(env|argv|exit\b|exitCode|on\(|once\(|stdout|stderr|cwd)/.test(withoutComments(file)),
  );
  expect(touching).toEqual(["src/library-host.ts", "src/main.ts"]);
});

test("what runs before Envoy is spawned loads no library", async () => {
  const { metafile } = await build({
    entryPoints: ["src/cli/proxy.ts"],
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    outdir: "nowhere",
    write: false,
    metafile: true,
    loader: { ".yaml": "text" },
    logLevel: "error",
  });
  const reached = new Set(["src/cli/proxy.ts"]);
  for (const file of reached) {
    for (const { kind, path } of metafile.inputs[file]?.imports ?? []) {
      if (kind !== "dynamic-import" && path in metafile.inputs) reached.add(path);
    }
  }
  expect([...reached].filter((file) => file.includes("node_modules"))).toEqual([]);
});

test("what stands between Envoy's start and its first certificate loads no generated messages", () => {
  const uses = imports().filter(({ to, isTypeOnly }) => !isTypeOnly && to.startsWith("src/proto/gen/"));
  expect([...new Set(uses.map(({ from }) => from.split("/")[1]))]).toEqual(["control-plane"]);
});

test("every room has a README and an index", () => {
  const rooms = readdirSync("src", { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const missing = rooms.flatMap(({ name }) =>
    (name === "proto" ? [] : ["README.md", "index.ts"])
      .filter((file) => !readdirSync(`src/${name}`).includes(file))
      .map((file) => `src/${name}/${file}`),
  );
  expect(missing).toEqual([]);
});

test("the generated messages are those of the .proto files", () => {
  expect(readFileSync("src/proto/gen/inputs.sha256", "utf8").trim()).toBe(protoDigest());
});

test("the lock file names no registry", () => {
  expect(readFileSync("package-lock.json", "utf8")).not.toMatch(/"resolved"/);
});

/** `main`, `index` and `version` stand above or beside the rooms; the others are folders. */
function roomOf(file: string): string {
  return file.split("/").length === 2 ? file : (file.split("/")[1] ?? "");
}

function floorOf(file: string): number {
  if (file === "src/main.ts") return 5;
  if (file === "src/index.ts") return 4;
  if (file === "src/library-host.ts") return 3;
  if (file === "src/version.ts") return 0;
  return FLOORS[roomOf(file)] ?? ROOM_FLOOR;
}

function isAllowed(from: string, to: string): boolean {
  if (roomOf(from) === "bootstrap" && roomOf(to) === "node") return true; // the one sideways arrow: node's type
  return floorOf(from) > floorOf(to);
}

function imports(): Import[] {
  return sourceFiles().flatMap((file) =>
    [
      ...withoutComments(file).matchAll(
        /(?:^|\n)\s*(import|export) (type )?[^"';]*?from "(\.[^"]+)"|import\("(\.[^"]+)"\)/g,
      ),
    ]
      .map(([, , type, path, lazyPath]) => ({
        from: file,
        to: relative(".", resolve(dirname(file), path ?? lazyPath ?? "")),
        isTypeOnly: type !== undefined,
      }))
      .filter(({ to }) => to.startsWith("src/") && to.endsWith(".ts")),
  );
}

function groupByFile(all: readonly Import[]): Map<string, Import[]> {
  const groups = new Map<string, Import[]>();
  for (const one of all) groups.set(one.from, [...(groups.get(one.from) ?? []), one]);
  return groups;
}

function sourceFiles(): string[] {
  return readdirSync("src", { recursive: true, encoding: "utf8" })
    .map((file) => join("src", file))
    .filter((file) => file.endsWith(".ts") && !file.includes("proto/gen/") && !file.endsWith(".gen.ts"))
    .sort();
}

function withoutComments(file: string): string {
  return readFileSync(file, "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "");
}
