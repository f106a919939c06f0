import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { transform } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePorts } from "../../src/base/index.ts";
import { type RunningCommand, run, start } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";

// What the front page tells people to type is typed here, as it stands there.

const CONTROL_PLANE =
  "npx pilotboat control-plane --dir examples/quickstart/xds --with-service --write-credentials /tmp/sidecar";
const PROXY =
  `PROXY_CONFIG='{"discoveryAddress":"localhost:15012"}' POD_NAME=quickstart POD_NAMESPACE=default ` +
  "SERVICE_ACCOUNT=quickstart npx pilotboat proxy sidecar --run-folder /tmp/sidecar";
const CURL = "curl -i http://127.0.0.1:15080/hello";
const OPENSSL = "openssl s_client -connect 127.0.0.1:15086 </dev/null 2>/dev/null | openssl x509 -noout -text";

const APPLICATION = "npx pilotboat run --local -- sh -c 'curl -s $PILOTBOAT_OUTBOUND_URL/hello'";

const RUN_HERE = [
  "npm start",
  "curl http://127.0.0.1:PORT/hello",
  CONTROL_PLANE,
  "npx pilotboat envoy fetch",
  PROXY,
  CURL,
  OPENSSL,
  APPLICATION,
];

/** A command that is new on the page has to be run here, or to stand here with the reason why it is not. */
const NOT_RUN_HERE: Readonly<Record<string, string>> = {
  "npm ci": "it replaces the packages that this test runs with; the CI's first step",
  "npm test": "it is what runs this test",
};

const SHELL = { name: "sh", command: ["sh", "-c"] } as const;
const LIMIT_MS = 120_000;

let page: string;
let folder: string;
beforeAll(async () => {
  page = await readFile("README.md", "utf8");
  folder = await mkdtemp(join(tmpdir(), "pb-readme-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("every command on the page is run by this test, or has a reason why not", () => {
  expect(blocks("").flatMap(commands).sort()).toEqual([...RUN_HERE, ...Object.keys(NOT_RUN_HERE)].sort());
});

test("every command in the table exists, and every one that exists is in the table", async () => {
  const { stdout } = await run(SHELL, ["npx pilotboat --help"]);
  const known = [...stdout.matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, name]) => name);
  const cells = [...page.matchAll(/^\| (`.*?`) \|/gm)].map(([, cell = ""]) => cell);
  const told = cells.flatMap((cell) => [...cell.matchAll(/`([a-z-]+)/g)].map(([, name]) => name));
  expect(told.sort()).toEqual(known.sort());
});

test("npm start prints a curl line, which is answered through the mesh", { timeout: LIMIT_MS }, async () => {
  await realEnvoy(); // the command finds it in the cache
  // without `prestart`, which builds: other tests run what is built
  await using command = start(SHELL, ["npm start --ignore-scripts"]);
  const [line] = await command.waitFor(/curl http:\S+/);
  expect(line.replace(/:\d+\//, ":PORT/")).toBe("curl http://127.0.0.1:PORT/hello");
  const { code, stdout } = await run(SHELL, [line]);
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { path: "/hello" }]);
  await interrupt(command);
});

test("the same by hand: control plane, sidecar, curl and the certificate", { timeout: LIMIT_MS }, async () => {
  await realEnvoy(); // the command finds it in the cache
  const [controlPlanePort = 0, outbound = 0, inbound = 0, app = 0, ...ports] = await freePorts(8);
  const [admin, status, envoyStatus, prometheus] = ports;
  const at = (command: string): string =>
    [
      ["/tmp/sidecar", folder],
      ["15012", `${controlPlanePort}`],
      ["15080", `${outbound}`],
      ["15086", `${inbound}`],
    ].reduce((text, [from = "", to = ""]) => text.replaceAll(from, to), command);

  const set = { OUTBOUND_PORT: outbound, INBOUND_PORT: inbound, APP_PORT: app };
  const flags = Object.entries(set).map(([name, value]) => `--set ${name}=${value}`);
  await using controlPlane = start(SHELL, [`${at(CONTROL_PLANE)} --port ${controlPlanePort} ${flags.join(" ")}`]);
  await controlPlane.waitFor(/credentials {4}/);

  const fetched = await run(SHELL, ["npx pilotboat envoy fetch"]);
  expect(fetched).toMatchObject({ code: 0, stdout: expect.stringMatching(/envoy/) });

  const env = { ENVOY_STATUS_PORT: `${envoyStatus}`, ENVOY_PROMETHEUS_PORT: `${prometheus}`, INSTANCE_IP: "127.0.0.1" };
  const ownPorts = `,"proxyAdminPort":${admin},"statusPort":${status}}'`;
  await using proxy = start(SHELL, [at(PROXY).replace("}'", ownPorts)], { env });
  await proxy.waitFor(/Start: .*ready/);

  expect((await run(SHELL, [at(CURL)])).stdout).toMatch(/^HTTP\/1\.1 200 OK/);
  const certificate = (await run(SHELL, [at(OPENSSL)])).stdout;
  expect(certificate).toContain("URI:spiffe://cluster.local/ns/default/sa/quickstart");
  await interrupt(proxy);
  await interrupt(controlPlane);
});

test("an application beside its sidecar reaches the mesh", { timeout: LIMIT_MS }, async () => {
  await realEnvoy(); // the command finds it in the cache
  const { code, stdout } = await run(SHELL, [APPLICATION]);
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { path: "/hello" }]);
});

test("the example in TypeScript is typed, and answered through the mesh", { timeout: LIMIT_MS }, async () => {
  const [example = "", ...others] = blocks("ts");
  expect(others).toEqual([]);
  await writeFile(join(folder, "example.ts"), example);
  await mkdir(join(folder, "node_modules"));
  await symlink(resolve("."), join(folder, "node_modules/pilotboat")); // as npm installs it
  const compilerOptions = {
    ...{ strict: true, noEmit: true, target: "esnext", lib: ["esnext", "dom"], skipLibCheck: true },
    ...{ module: "nodenext", types: ["node"], typeRoots: [resolve("node_modules/@types")], moduleDetection: "force" },
  };
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["example.ts"] }));
  const checked = await run(SHELL, [`node_modules/.bin/tsc -p ${folder}`]);
  expect(checked).toMatchObject({ code: 0, stdout: "" });

  await realEnvoy(); // the command finds it in the cache
  const source = `${example}\nconsole.log(response.status);`;
  const { code } = await transform(source, { loader: "ts", target: "node20", format: "esm" });
  await writeFile(join(folder, "example.mjs"), code);
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, "example.mjs")]);
  expect(stdout).toBe("200\n");
});

/** The texts of the fenced blocks of that language. */
function blocks(language: string): string[] {
  const fences = [...page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)];
  return fences
    .filter(([, name]) => name === language || (language === "" && name === "sh"))
    .map(([, , text = ""]) => text);
}

/** One command per line or `&&`; a backslash continues a line, and what follows ` # ` is for people. */
function commands(block: string): string[] {
  const lines = block.replaceAll(/\\\n\s*/g, "").split("\n");
  return lines.flatMap((line) => line.replace(/\s+#\s.*$/, "").split(" && ")).filter((line) => line.trim() !== "");
}

/** Ctrl-C, as a terminal sends it: to every process of the command. */
async function interrupt(command: RunningCommand): Promise<void> {
  process.kill(-command.pid, "SIGINT");
  await command.ended;
}
