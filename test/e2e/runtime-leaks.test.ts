import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";

// Each test here is a row of the table in docs/runtimes.md.
describe.each(runtimes())("what $name takes from around it", (runtime) => {
  const isNode = runtime.command.length > 1;

  /** The environment that the application of `run --local` finds, and whether code of others ran before. */
  const runIn = async (folder: Hostile, env: Readonly<Record<string, string>>) => {
    const show = "console.log(JSON.stringify({ env: process.env, inspector: require('node:inspector').url() }))";
    const args = ["run", "--local", "--", process.execPath, "-e", show];
    const words = { ENVOY_BIN: await realEnvoy(), TMPDIR: folder.tmp, ...env };
    const { code, stdout, stderr } = await run(runtime, args, { cwd: folder.path, env: words });
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const said = JSON.parse(stdout) as { readonly env: Record<string, string>; readonly inspector?: string };
    return { ...said, stderr, hasRunCode: (await readdir(folder.marks)).length > 0 };
  };

  test("reality 2: files of the folder, of home and of NODE_PATH have no effect, nor do they reach the application", async () => {
    const folder = await hostileFolder();
    const env = { HOME: folder.path, XDG_CONFIG_HOME: join(folder.path, ".config"), NODE_PATH: folder.modules };
    const seen = await runIn(folder, env);
    expect(seen.hasRunCode).toBe(false);
    expect(Object.keys(seen.env)).not.toContain("PLANTED");
    expect(seen.env.NODE_PATH).toBe(folder.modules);
    const config = await run(runtime, ["config", "explain", "CA_ADDR"], { cwd: folder.path, env });
    expect(`${config.stdout}${config.stderr}`).not.toContain("planted.example");
  });

  test("reality 2: variables of Bun are the application's alone", async () => {
    const folder = await hostileFolder();
    const [port] = await freePorts(1);
    const env = {
      BUN_OPTIONS: `--preload ${folder.code} --inspect=127.0.0.1:${port}`,
      BUN_INSPECT: `ws://127.0.0.1:${port}/x?break=1`,
      BUN_INSPECT_PRELOAD: folder.code,
      BUN_INSPECT_CONNECT_TO: `127.0.0.1:${port}`,
      BUN_BE_BUN: "1",
      BUN_CONFIG_VERBOSE_FETCH: "curl",
    };
    const seen = await runIn(folder, env);
    expect(seen.hasRunCode).toBe(false);
    expect(seen.env).toMatchObject(env);
    expect(seen.stderr).not.toMatch(/Inspector|curl --http/);
  });

  test("reality 2: with NODE_OPTIONS=--inspect it is the application that is inspected", async () => {
    const folder = await hostileFolder();
    const [port] = await freePorts(1);
    const seen = await runIn(folder, { NODE_OPTIONS: `--inspect=127.0.0.1:${port}` });
    expect(seen.inspector).toMatch(`ws://127.0.0.1:${port}/`);
  });

  test("reality 2: NODE_OPTIONS loads code into Node before our first line, and never into the executable", async () => {
    const folder = await hostileFolder();
    const { code } = await run(runtime, ["version"], { env: { NODE_OPTIONS: `--require ${folder.code}` } });
    expect([code, (await readdir(folder.marks)).length > 0]).toEqual([0, isNode]);
  });

  test("reality 2: with NODE_OPTIONS=--inspect-brk Node waits for a debugger, and the executable does not", async () => {
    await using command = start(runtime, ["version"], { env: { NODE_OPTIONS: "--inspect-brk=127.0.0.1:0" } });
    if (isNode) await command.waitFor(/Debugger listening/);
    else expect((await command.ended).code).toBe(0);
    expect(command.stdout() === "").toBe(isNode);
  });

  test("reality 2: NODE_OPTIONS=--tls-keylog, NODE_REDIRECT_WARNINGS and OPENSSL_CONF act on Node alone", async () => {
    const folder = await hostileFolder();
    const [keys, warnings, broken] = ["keys", "warnings", "openssl.cnf"].map((name) => join(folder.path, name));
    await runIn(folder, { NODE_OPTIONS: `--tls-keylog=${keys}` });
    const warning = join(folder.path, "warning.cjs");
    await writeFile(warning, 'process.emitWarning("planted")');
    const env = { NODE_OPTIONS: `--require=${warning}`, NODE_REDIRECT_WARNINGS: `${warnings}` };
    await run(runtime, ["version"], { env });
    const left = await readdir(folder.path);
    expect([left.includes("keys"), left.includes("warnings")]).toEqual([isNode, isNode]);
    await writeFile(`${broken}`, "no equal sign [");
    const { code } = await run(runtime, ["version"], { env: { OPENSSL_CONF: `${broken}` } });
    expect(code === 0).toBe(!isNode);
  });

  test("reality 2: no trace of a library or a runtime holds the token or reaches stdout, no file is left", async () => {
    const folder = await hostileFolder();
    const left = join(folder.path, "left");
    await mkdir(left);
    const seen = await runIn(folder, {
      ...{ GRPC_TRACE: "all", GRPC_VERBOSITY: "DEBUG", GRPC_NODE_TRACE: "all", GRPC_NODE_VERBOSITY: "DEBUG" },
      ...{ LOG_TOKENS: "1", LOG_STREAM: "1", NODE_DEBUG: "http,http2,net,tls,child_process" },
      ...{ NODE_V8_COVERAGE: join(left, "coverage"), SSLKEYLOGFILE: join(left, "keys"), UV_THREADPOOL_SIZE: "1" },
    });
    expect(seen.env).toMatchObject({ GRPC_TRACE: "all", LOG_TOKENS: "1", UV_THREADPOOL_SIZE: "1" });
    expect(seen.stderr).not.toMatch(/^D \d{4}-/m); // a line of a gRPC library's traces
    expect(seen.stderr).not.toMatch(/ey[\w-]+\.ey[\w-]+\./); // a JWT
    const files = (await readdir(left, { recursive: true })).filter((name) => name !== "coverage");
    expect(files).toHaveLength(1); // the application's own coverage
    expect(files[0]).toMatch(/^coverage/);
  });

  test("reality 2: no variable but HTTPS_PROXY sends the agent through a proxy", async () => {
    const folder = await hostileFolder();
    const proxy = await startCounter();
    const names = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "grpc_proxy", "https_proxy"]; // the last: not for loopback
    const env = Object.fromEntries(names.map((name) => [name, `http://127.0.0.1:${proxy.port}`]));
    const seen = await runIn(folder, { ...env, NODE_USE_ENV_PROXY: "1" });
    expect(seen.env).toMatchObject(env);
    expect(proxy.connections()).toBe(0);
  });

  test("reality 2: a signal opens no inspector", async () => {
    await using command = start(runtime, ["control-plane", "--dir", resolve("examples/quickstart/xds"), "--port", "0"]);
    await command.waitFor(/credentials|listening|127\.0\.0\.1/i);
    command.kill("SIGUSR1");
    command.kill("SIGTERM");
    expect((await command.ended).code).toBe(0);
    expect(command.stderr()).not.toMatch(/Debugger listening/);
  });

  test("reality 2: tuning of the JavaScript engine acts before our first line, and on its own runtime only", async () => {
    const { code, stderr } = await run(runtime, ["version"], { env: { BUN_JSC_dumpOptions: "1" } });
    expect([code, stderr.includes("dumpOptions")]).toEqual([0, !isNode]);
  });
});

interface Hostile {
  readonly path: string;
  /** A file that leaves a mark when it runs. */
  readonly code: string;
  readonly marks: string;
  readonly modules: string;
  readonly tmp: string;
}

/** A folder in which everything that a runtime may read sets variables or runs code. */
async function hostileFolder(): Promise<Hostile> {
  const path = await mkdtemp(join(tmpdir(), "pb-hostile-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  const at = (name: string): string => join(path, name);
  await Promise.all([mkdir(at("marks")), mkdir(at("tmp"))]);
  const code = `require("node:fs").writeFileSync(${JSON.stringify(at("marks/"))} + process.pid, "");`;
  const bunfig = `preload = [${JSON.stringify(at("code.cjs"))}]\n`;
  const dotenv = "PLANTED=1\nCA_ADDR=planted.example:15012\nISTIO_META_PLANTED=1\n";
  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(dirname(at(name)), { recursive: true });
    await writeFile(at(name), text);
  };
  const packages = ["@bufbuild/protobuf", "yaml", "jose"];
  await Promise.all([
    write("code.cjs", code),
    ...["", ".local", ".production", ".development", ".test"].map((end) => write(`.env${end}`, dotenv)),
    ...["bunfig.toml", ".bunfig.toml", ".config/.bunfig.toml"].map((name) => write(name, bunfig)),
    write("tsconfig.json", `{"compilerOptions":{"paths":{"*":[${JSON.stringify(at("code.cjs"))}]}}}`),
    write("package.json", `{"type":"module","main":"code.cjs","imports":{"#x":"./code.cjs"},"preload":["./code.cjs"]}`),
    write("node.config.json", `{"nodeOptions":{"require":["./code.cjs"]}}`),
    ...packages.map((name) => write(`node_modules/${name}/index.js`, code)),
    ...packages.map((name) => write(`.node_modules/${name}/index.js`, code)),
  ]);
  return { path, code: at("code.cjs"), marks: at("marks"), modules: at("node_modules"), tmp: at("tmp") };
}

/** Counts who comes. */
async function startCounter() {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}
