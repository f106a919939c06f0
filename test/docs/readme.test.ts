import { appendFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningCommand, run, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";

// What the front page tells people to type is typed here, as it stands there.

const CONTROL_PLANE =
  "npx pilotboat control-plane --dir examples/quickstart/xds --with-service --write-credentials ~/sidecar";
const PROXY =
  `PROXY_CONFIG='{"discoveryAddress":"localhost:15012"}' POD_NAME=quickstart POD_NAMESPACE=default ` +
  "SERVICE_ACCOUNT=quickstart npx pilotboat proxy sidecar --run-folder ~/sidecar";
const CURL = "curl -i http://127.0.0.1:15080/hello";
const OPENSSL = "openssl s_client -connect 127.0.0.1:15086 </dev/null 2>/dev/null | openssl x509 -noout -text";

const APPLICATION = "npx pilotboat run --local -- sh -c 'curl -s $PILOTBOAT_OUTBOUND_URL/hello'";

const RELOADABLE = "echo 'discoveryAddress: localhost:15012' > ~/sidecar/proxy.yaml";
const HOT_PROXY =
  "POD_NAME=quickstart POD_NAMESPACE=default SERVICE_ACCOUNT=quickstart " +
  "npx pilotboat proxy sidecar --run-folder ~/sidecar --hot-restart --proxy-config ~/sidecar/proxy.yaml";
const RELOAD = "npx pilotboat reload --run-folder ~/sidecar";

const PACK = "npm pack";
const INSTALL = "npm install --save-dev PATH/TO/pilotboat-0.1.0.tgz typescript @types/node";

const RUN_HERE = [
  "npm start",
  CONTROL_PLANE,
  "npx pilotboat envoy fetch",
  PROXY,
  CURL,
  OPENSSL,
  APPLICATION,
  RELOADABLE,
  HOT_PROXY,
  RELOAD,
  PACK,
  INSTALL,
];

/** A command that is new on the page has to be run here, or to stand here with the reason why it is not. */
const NOT_RUN_HERE: Readonly<Record<string, string>> = {
  "npm ci": "it replaces the packages that this test runs with; the CI's first step",
  "npm test": "it is what runs this test",
  "npx pilotboat up --app-port 3000": "test/e2e/up.test.ts does, on a free port",
  "npx pilotboat run --local --app-port 3000 -- node server.js": "test/e2e/run.test.ts does, on a free port",
};

const NODE = { name: "Node", command: [process.execPath] } as const;
const SHELL = { name: "sh", command: ["sh", "-c"] } as const;
const LIMIT_MS = 120_000;

let page: string;
beforeAll(async () => {
  page = await readFile("README.md", "utf8");
});

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
  expect(page).toContain(`\`${line.replace(/:\d+\//, ":PORT/")}\``);
  const { code, stdout } = await run(SHELL, [line]);
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { path: "/hello" }]);
  await interrupt(command);
});

test("the same by hand: control plane, sidecar, curl and the certificate", { timeout: LIMIT_MS }, async () => {
  await using hand = await startByHand();
  const fetched = await run(SHELL, ["npx pilotboat envoy fetch"]);
  expect(fetched).toMatchObject({ code: 0, stdout: expect.stringMatching(/envoy/) });

  const { proxyAdminPort, statusPort } = hand.ports;
  const ownPorts = `,"proxyAdminPort":${proxyAdminPort},"statusPort":${statusPort}}'`;
  await using proxy = start(SHELL, [hand.at(PROXY).replace("}'", ownPorts)], { env: hand.env });
  await proxy.waitFor(/Start: .*ready/);

  const { stdout } = await run(SHELL, [hand.at(CURL)]);
  expect(stdout).toMatch(/^HTTP\/1\.1 200 OK/);
  expect(stdout).toContain("x-peer-uri-san: spiffe://cluster.local/ns/default/sa/quickstart\r\n");
  const certificate = (await run(SHELL, [hand.at(OPENSSL)])).stdout;
  expect(certificate).toContain("URI:spiffe://cluster.local/ns/default/sa/quickstart");
  await interrupt(proxy);
});

test("hot restart: an edited file reaches a new Envoy, which takes the old one's place", {
  timeout: LIMIT_MS,
}, async () => {
  await using hand = await startByHand();
  const edit = (fields: Readonly<Record<string, number>>): Promise<void> =>
    appendFile(join(hand.folder, "proxy.yaml"), yamlLines(fields));
  expect(await run(SHELL, [hand.at(RELOADABLE)])).toMatchObject({ code: 0 });
  await edit(hand.ports);
  await using proxy = start(SHELL, [hand.at(HOT_PROXY)], { env: hand.env });
  await proxy.waitFor(/Start: .*ready/);

  await edit({ concurrency: 1 });
  const reloaded = await run(SHELL, [hand.at(RELOAD)]);
  expect(reloaded).toMatchObject({ code: 0, stdout: expect.stringMatching(/^replaced: pid \d+/m) });
  expect((await run(SHELL, [hand.at(CURL)])).stdout).toMatch(/^HTTP\/1\.1 200 OK/);
  await interrupt(proxy);
});

test("an application beside its sidecar reaches the mesh", { timeout: LIMIT_MS }, async () => {
  await realEnvoy(); // the command finds it in the cache
  const { code, stdout } = await run(SHELL, [APPLICATION]);
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { path: "/hello" }]);
});

describe("in a project of one's own", () => {
  let project: string;
  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), "pb-project-"));
    await writeFile(join(project, "package.json"), '{"type":"module"}');
    // without the scripts, which build: other tests run what is built
    const packed = await run(SHELL, [`${PACK} --ignore-scripts --pack-destination ${project}`]);
    expect(packed).toMatchObject({ code: 0, stdout: "pilotboat-0.1.0.tgz\n" });
    const install = INSTALL.replace("PATH/TO", project).replace(/ typescript .*/, " --offline");
    expect(await run(SHELL, [install], { cwd: project })).toMatchObject({ code: 0 });
    await mkdir(join(project, "node_modules/@types"));
    await symlink(resolve("node_modules/@types/node"), join(project, "node_modules/@types/node"));
    await realEnvoy(); // the library finds it in the cache
  }, LIMIT_MS);
  afterAll(() => rm(project, { recursive: true, force: true }));

  test("the example in TypeScript compiles, the package's types included", { timeout: LIMIT_MS }, async () => {
    const [example = "", ...others] = blocks("ts");
    expect(others).toEqual([]);
    await writeFile(join(project, "example.ts"), `${example}console.log(response.status);\n`);
    const tsc = `${resolve("node_modules/.bin/tsc")} --strict --module nodenext --target es2022 --skipLibCheck false`;
    expect(await run(SHELL, [`${tsc} example.ts`], { cwd: project })).toMatchObject({ code: 0, stdout: "" });
    expect(await run(NODE, ["example.js"], { cwd: project })).toMatchObject({ code: 0, stdout: "200\n" });
  });

  test("reality 34: require works, and AgentError is there for instanceof", { timeout: LIMIT_MS }, async () => {
    const script = `
      const { startSidecar, startControlPlane, AgentError } = require("pilotboat");
      (async () => {
        const sidecar = await startSidecar();
        console.log((await fetch(sidecar.url)).status);
        await sidecar[Symbol.asyncDispose]();
        const error = await startControlPlane({ resources: "./nowhere" }).catch((error) => error);
        console.log(error instanceof AgentError, new Error("x") instanceof AgentError, error.code);
      })();`;
    await writeFile(join(project, "required.cjs"), script);
    const { code, stdout, stderr } = await run(NODE, ["required.cjs"], { cwd: project });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "200\ntrue false FILE_UNREADABLE\n", stderr: "" });
  });

  test("reality 34: a CommonJS module in TypeScript compiles and runs", { timeout: LIMIT_MS }, async () => {
    const script = `
      import { AgentError, type Sidecar, startSidecar } from "pilotboat";
      const told = (error: unknown): string => (error instanceof AgentError ? error.code : "another");
      const start = (): Promise<Sidecar> => startSidecar({ port: 0, appPort: 3000, namespace: "shop" });
      void start;
      startSidecar({ values: { A: 1 as unknown as string } }).catch((error: unknown) => console.log(told(error)));`;
    await writeFile(join(project, "common.cts"), script);
    const tsc = `${resolve("node_modules/.bin/tsc")} --strict --module nodenext --target es2022 --skipLibCheck false`;
    expect(await run(SHELL, [`${tsc} common.cts`], { cwd: project })).toMatchObject({ code: 0, stdout: "" });
    expect(await run(NODE, ["common.cjs"], { cwd: project })).toMatchObject({ code: 0, stdout: "USAGE\n" });
  });

  test("reality 34: the packaged example runs in a project that has vitest", { timeout: LIMIT_MS }, async () => {
    await symlink(resolve("node_modules/vitest"), join(project, "node_modules/vitest"));
    await cp(join(project, "node_modules/pilotboat/examples/sidecar.test.ts"), join(project, "sidecar.test.ts"));
    const words = [resolve("node_modules/vitest/vitest.mjs"), "run", "--root", project];
    const { code, stdout } = await run(NODE, words, { cwd: project });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/1 passed/) });
  });

  test("the example in JavaScript runs as it stands on the page", { timeout: LIMIT_MS }, async () => {
    const [example = "", ...others] = blocks("js");
    expect(others).toEqual([]);
    await writeFile(join(project, "example.mjs"), example);
    expect(await run(NODE, ["example.mjs"], { cwd: project })).toMatchObject({ code: 0, stdout: "200\n" });
  });
});

/** The page's control plane and what goes with it, on ports and in a folder of this test's own. */
async function startByHand() {
  await realEnvoy(); // the commands find it in the cache
  const own = await mkdtemp(join(tmpdir(), "pb-hand-"));
  const [controlPlanePort = 0, outbound = 0, inbound = 0, app = 0, ...ports] = await freePorts(8);
  const [proxyAdminPort = 0, statusPort = 0, envoyStatus, prometheus] = ports;
  const at = (command: string): string =>
    [
      ["~/sidecar", own],
      ["15012", `${controlPlanePort}`],
      ["15080", `${outbound}`],
      ["15086", `${inbound}`],
    ].reduce((text, [from = "", to = ""]) => text.replaceAll(from, to), command);

  const set = { OUTBOUND_PORT: outbound, INBOUND_PORT: inbound, APP_PORT: app };
  const flags = Object.entries(set).map(([name, value]) => `--set ${name}=${value}`);
  const controlPlane = start(SHELL, [`${at(CONTROL_PLANE)} --port ${controlPlanePort} ${flags.join(" ")}`]);
  await controlPlane.waitFor(/credentials {4}/);
  return {
    folder: own,
    at,
    ports: { proxyAdminPort, statusPort },
    env: { ENVOY_STATUS_PORT: `${envoyStatus}`, ENVOY_PROMETHEUS_PORT: `${prometheus}`, INSTANCE_IP: "127.0.0.1" },
    async [Symbol.asyncDispose]() {
      await interrupt(controlPlane);
      await rm(own, { recursive: true, force: true });
    },
  };
}

function yamlLines(fields: Readonly<Record<string, number>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("");
}

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
