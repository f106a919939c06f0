import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// Node loads a CommonJS chunk faster than an ES module, and on Node 24 an import of node:http, static or
// dynamic, loads the fetch library: docs/decisions/0014-commonjs-bundle.md.
test("no built file goes through the loader of ES modules", async () => {
  const folder = "dist/chunks";
  const files = [...(await readdir(folder)).map((name) => join(folder, name)), "dist/command.js", "dist/index.js"];
  const importing: string[] = [];
  for (const file of files) {
    const code = await readFile(file, "utf8");
    if (/^\s*import\b|\bawait import\(|\breturn import\(/m.test(code)) importing.push(file);
  }
  expect(importing).toEqual([]);
  expect(files.length).toBeGreaterThan(50);
});

/** What a real start has read and asked Node for when it spawns Envoy. */
interface Loaded {
  readonly files: readonly string[];
  readonly builtIn: readonly string[];
  readonly programs: readonly string[];
  readonly refused: readonly string[];
}

describe("until Envoy is spawned, a start with the built files", () => {
  const folder = mkdtempSync(join(tmpdir(), "pb-start-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let loaded: Loaded;
  beforeAll(() => {
    loaded = startOnce(folder);
  });

  test("loads the launcher, the command and two chunks, at most 640 KB", () => {
    const names = loaded.files.map((file) => basename(file).replace(/-[\w-]{8}\.js$/, ""));
    expect(names.sort()).toEqual(["command", "command.js", "main.js", "rolldown-runtime", "start"]);
    const bytes = loaded.files.reduce((sum, file) => sum + statSync(file).size, 0);
    expect(bytes).toBeLessThan(640_000);
  });

  test("asks Node for these of its modules, and none that speaks HTTP, TLS or compresses", () => {
    expect([...loaded.builtIn].sort()).toEqual([
      "buffer",
      "child_process",
      "crypto",
      "fs",
      "fs/promises",
      "module",
      "net",
      "os",
      "path",
      "stream",
      "timers/promises",
      "tty",
      "util",
      "vm",
    ]);
  });

  test("runs no other program but mkfifo, since Node cannot make a pipe", () => {
    expect(loaded.programs).toEqual(["mkfifo"]);
  });

  test("V8 takes the compiled form that the build has left", () => {
    expect(loaded.refused).toEqual([]);
  });
});

/** A start without a control plane, whose Envoy is a program that ends at once. */
function startOnce(folder: string): Loaded {
  const write = (name: string, text: string, mode = 0o600): void => {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text, { mode });
  };
  symlinkSync("/bin/true", join(folder, "envoy"));
  write("var/run/secrets/istio/root-cert.pem", rootCertificates[0] ?? "");
  write("var/run/secrets/tokens/istio-token", "e30.e30.e30");
  write("watch.cjs", WATCH);
  const words = ["-r", join(folder, "watch.cjs"), resolve("dist/main.js"), "proxy", "sidecar", "--free-ports"];
  const { stderr } = spawnSync(process.execPath, words, {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      PROXY_CONFIG: JSON.stringify({ binaryPath: join(folder, "envoy"), discoveryAddress: "127.0.0.1:1" }),
      POD_NAME: "start",
      POD_NAMESPACE: "default",
      SERVICE_ACCOUNT: "default",
      INSTANCE_IP: "127.0.0.1",
      CLOUD_PLATFORM: "none",
    },
    encoding: "utf8",
    timeout: 60_000,
  });
  const [, found] = /^LOADED (.+)$/m.exec(stderr) ?? [];
  if (found === undefined) throw new Error(`Envoy was not spawned: ${stderr}`);
  return JSON.parse(found);
}

/** Says, when Envoy is spawned, what was loaded by then. */
const WATCH = `
const fs = require("node:fs"), vm = require("node:vm"), { Module } = require("node:module");
const childProcess = require("node:child_process");
const found = { files: new Set(), builtIn: new Set(), programs: [], refused: [] };
const { readFileSync } = fs, { spawn } = childProcess, { Script } = vm, { require: ofNode } = Module.prototype;
const load = Module._load;
Module._load = (name, ...rest) => {
  if (Module.isBuiltin(name)) found.builtIn.add(name.replace("node:", ""));
  return load(name, ...rest);
};
fs.readFileSync = (file, ...rest) => {
  if (/\\/dist\\/[^.]*\\.js$/.test(file) && !file.includes("/compiled/")) found.files.add(file);
  return readFileSync(file, ...rest);
};
vm.Script = class extends Script {
  constructor(text, options) {
    super(text, options);
    if (this.cachedDataRejected !== false) found.refused.push(options.filename);
  }
};
childProcess.spawn = (file, args, ...rest) => {
  if (!args.includes("--drain-strategy")) found.programs.push(file);
  else console.error("LOADED " + JSON.stringify(found, (_, value) => (value instanceof Set ? [...value] : value)));
  return spawn(file, args, ...rest);
};
`;
