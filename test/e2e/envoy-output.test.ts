import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { constants, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { peakMegabytes } from "../faults/rig.ts";
import { type RunningCommand, type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { createSandbox, type ProxyOptions, type Sandbox } from "../support/sandbox.ts";

/** How long the reader of the output stands still; the full length is 60. */
const STALL_SECONDS = Number(process.env.PILOTBOAT_STALL_SECONDS ?? 3);

const STALL_LIMIT_MS = 60_000 + STALL_SECONDS * 2_000;

const fileLog = (path: string): unknown => ({
  name: "file",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
    path,
    log_format: { text_format_source: { inline_string: `log ${path} %REQ(:PATH)% end\n` } },
  },
});
const BOTH = ["/dev/stdout", "/dev/stderr"];

/** The quickstart, whose outbound listener writes access logs to these files. */
async function meshWithLogs(folder: string, files: readonly string[] = BOTH): Promise<string> {
  const logs = JSON.stringify(files.map(fileLog));
  const mesh = await readFile("examples/quickstart/xds/mesh.yaml", "utf8");
  await mkdir(folder);
  await writeFile(
    join(folder, "mesh.yaml"),
    mesh.replace("stat_prefix: outbound", (words) => `${words}\n              access_log: ${logs}`),
  );
  return folder;
}

/** The product, behind a shell that gives its outputs another end. OUT names the file that gets the lines. */
function behind(runtime: Runtime, script: string): Runtime {
  return { name: runtime.name, command: ["/bin/sh", "-c", script, "sh", ...runtime.command] };
}

const ENDS: Readonly<Record<string, string>> = {
  pipe: 'mkfifo "$OUT.pipe"; cat "$OUT.pipe" >"$OUT" & exec "$@" >"$OUT.pipe" 2>&1',
  file: 'exec "$@" >"$OUT" 2>&1',
  terminal: 'exec script --quiet --return --flush --command "$*" "$OUT"',
  socket: 'exec "$@"',
  "nothing, for it is closed": 'exec "$@" >&- 2>&-',
};

describe.each(runtimes())("Envoy's output on $name", (runtime) => {
  let sandbox: Sandbox;
  let controlPlane: RunningCommand;
  let meshFolder: string;
  let out: string;
  beforeAll(async () => {
    meshFolder = await mkdtemp(join(tmpdir(), "pb-output-"));
    const resources = await meshWithLogs(join(meshFolder, "mesh"));
    sandbox = await createSandbox(behind(runtime, 'eval "${SCRIPT:-exec "$@"}"'), { resources });
    controlPlane = await sandbox.startControlPlane();
  });
  afterAll(async () => {
    await controlPlane[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
    await rm(meshFolder, { recursive: true });
  });
  beforeEach(async () => {
    out = join(await mkdtemp(join(meshFolder, "out-")), "out");
  });

  function startProxy(script: string, { proxyConfig, env, args = [] }: ProxyOptions = {}): Promise<RunningCommand> {
    return sandbox.startProxy({
      proxyConfig: { fileFlushInterval: "0.05s", ...proxyConfig },
      env: { SCRIPT: script, OUT: out, ...env },
      args,
    });
  }
  const outbound = (path: string): string => `http://127.0.0.1:${sandbox.ports.outbound}${path}`;
  const answers = (path: string): Promise<number> => statusOf(outbound(path));
  const agentPid = async (): Promise<number> =>
    JSON.parse(await readFile(join(sandbox.folder, "etc/istio/proxy/agent.json"), "utf8")).pid;

  test.each(Object.entries(ENDS))(
    "reality 1: access logs at /dev/stdout and /dev/stderr reach a %s",
    async (_, script) => {
      await using agent = await startProxy(script);
      await expect.poll(() => answers("/first"), { timeout: 30_000 }).toBe(200);
      const read = async (): Promise<string> =>
        `${await readFile(out, "utf8").catch(() => "")}${agent.stdout()}${agent.stderr()}`;
      if (!script.includes("&-")) {
        await expect.poll(read, { timeout: 10_000 }).toMatch(/^log \/dev\/stdout \/first end\r?$/m);
        await expect.poll(read, { timeout: 10_000 }).toMatch(/^log \/dev\/stderr \/first end\r?$/m);
      }
      process.kill(await agentPid(), "SIGTERM");
      expect((await agent.ended).code).toBe(0);
    },
  );

  test(
    "reality 1: a reader that stands still stops neither Envoy nor memory's bound, and no line is torn",
    async () => {
      execFileSync("mkfifo", [`${out}.pipe`]);
      const still = await open(`${out}.pipe`, constants.O_RDONLY | constants.O_NONBLOCK);
      await using agent = await startProxy('exec "$@" >"$OUT.pipe"');
      await expect.poll(() => answers("/first")).toBe(200);
      const untilMs = Date.now() + STALL_SECONDS * 1_000;
      let sent = 0;
      for (; sent < 500 || Date.now() < untilMs; sent++) expect(await answers(`/${"x".repeat(4_000)}`)).toBe(200);
      expect(peakMegabytes(await agentPid())).toBeLessThan(200);
      const reading = spawn("cat", [`${out}.pipe`], { stdio: ["ignore", "pipe", "inherit"] });
      const isRead = once(reading, "close"); // it may be over before the agent is known to be
      reading.stdout.pipe(createWriteStream(out));
      await once(reading.stdout, "data");
      await still.close();
      const after = async (): Promise<string> => {
        await answers("/after"); // what comes while the reader catches up may be lost
        return readFile(out, "utf8");
      };
      await expect.poll(async () => (await after()).includes("log /dev/stdout /after end\n")).toBe(true);
      agent.kill("SIGTERM");
      expect((await agent.ended).code).toBe(0);
      await isRead;
      const lines = (await readFile(out, "utf8")).split("\n").filter((line) => /log \/dev|xx/.test(line));
      expect(lines.filter((line) => !/^log \/dev\/stdout \/(first|after|x{4000}) end$/.test(line))).toEqual([]);
      expect(lines.length).toBeGreaterThan(2);
    },
    STALL_LIMIT_MS,
  );

  test("reality 1: both epochs of a hot restart write to them, and their outlier log", async () => {
    await using agent = await startProxy('exec "$@"', {
      args: ["--hot-restart", "--outlierLogPath=/dev/stdout"],
      env: { PILOTBOAT_PARENT_SHUTDOWN: "2s" },
    });
    await agent.waitFor(/Readiness succeeded/);
    expect(await answers("/epoch0")).toBe(200);
    await agent.waitFor(/^log \/dev\/stdout \/epoch0 end$/m);
    expect(await sandbox.reload()).toMatchObject({ outcome: "replaced" });
    await expect.poll(() => answers("/epoch1")).toBe(200);
    await agent.waitFor(/^log \/dev\/stdout \/epoch1 end$/m);
    await agent.waitFor(/^log \/dev\/stderr \/epoch1 end$/m);
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
  });

  test.each([
    ["text", []],
    ["JSON", ["--log_as_json"]],
  ] as const)(
    "reality 31: an orderly end of Envoy, also of an epoch, shows no streams that close; %s",
    async (_, args) => {
      await using agent = await startProxy('exec "$@"', {
        args: ["--hot-restart", ...args],
        env: { PILOTBOAT_PARENT_SHUTDOWN: "1s" },
      });
      await agent.waitFor(/Readiness succeeded/);
      expect(await sandbox.reload()).toMatchObject({ outcome: "replaced" });
      await agent.waitFor(/Previous Envoy exited/);
      agent.kill("SIGTERM");
      expect((await agent.ended).code).toBe(0);
      expect(agent.stderr()).toContain("caught ENVOY_SIGTERM"); // what else it says is passed on
      expect(agent.stderr()).not.toContain("gRPC config stream");
    },
  );

  test("reality 1: a bootstrap of one's own may name them, for the agent and for a validation", async () => {
    const own = join(meshFolder, "own.json");
    await writeFile(own, JSON.stringify(ownBootstrap(sandbox.ports.admin, sandbox.ports.outbound)));
    const proxyConfig = { customConfigFile: own, fileFlushInterval: "0.05s" };
    const env = { PROXY_CONFIG: JSON.stringify(proxyConfig) };
    const checked = await run(runtime, ["bootstrap", "validate"], { cwd: sandbox.folder, env });
    expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining("OK") });

    await using agent = await startProxy('exec "$@"', { proxyConfig, args: ["--hot-restart"] });
    await expect.poll(() => answers("/own")).toBe(200);
    await agent.waitFor(/^log \/dev\/stdout \/own end$/m);
    await agent.waitFor(/^log \/dev\/stderr \/own end$/m);
    expect(await sandbox.reload()).toMatchObject({ outcome: "replaced" }); // after Envoy itself has checked it
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
  });

  test("reality 1: up and run --local write access logs, too", async () => {
    const mesh = await meshWithLogs(join(meshFolder, `local-${runtime.name.length}`));
    const proxyMetadata = { TMPDIR: meshFolder };
    await using up = start(runtime, ["up", mesh, "--verbose"], { cwd: meshFolder, env: proxyMetadata });
    const [, listener = ""] = await up.waitFor(/listener +(http:\S+)/);
    await up.waitFor(/Ctrl-C stops everything/);
    expect(await statusOf(`${listener}/up`)).toBe(200);
    up.kill("SIGINT");
    expect((await up.ended).code).toBe(0);
    for (const file of BOTH) expect(`${up.stdout()}${up.stderr()}`).toContain(`log ${file} /up end\n`);

    const job = "curl --silent --fail $PILOTBOAT_OUTBOUND_URL/job && echo done >>/dev/stdout";
    const words = ["run", "--local", "--resources", mesh, "--", "sh", "-c", job];
    const ran = await run(behind(runtime, '"$@" >"$OUT.out" 2>"$OUT.err"'), words, {
      cwd: meshFolder,
      env: { ...proxyMetadata, OUT: out },
    });
    expect(ran.code).toBe(0);
    expect(await readFile(`${out}.out`, "utf8")).toMatch(/"path": "\/job".*done\n$/s); // all of it the application's
  });

  test("reality 1: the last lines are kept as evidence, and no named pipe stays", async () => {
    await using agent = await startProxy('exec "$@"');
    await expect.poll(() => answers("/first")).toBe(200);
    const [envoyPid = 0] = JSON.parse(
      await readFile(join(sandbox.folder, "etc/istio/proxy/agent.json"), "utf8"),
    ).envoys.map((mark: { pid: number }) => mark.pid);
    const left = await readdir(join(sandbox.folder, "etc/istio/proxy"));
    expect(left.filter((name) => name.startsWith(".envoy"))).toEqual([]);
    await agent.waitFor(/^log \/dev\/stderr \/first end$/m); // Envoy writes its access log a little after the answer
    process.kill(envoyPid, "SIGKILL");
    expect((await agent.ended).code).toBe(137);
    const crashes = join(sandbox.folder, "etc/istio/proxy/crashes");
    const [crash = ""] = await readdir(crashes);
    expect(await readFile(join(crashes, crash, "stderr.txt"), "utf8")).toContain("log /dev/stderr /first end");
  });
});

/** A mount of its own takes root. */
describe.skipIf(process.getuid?.() !== 0).each(runtimes())("without the program mkfifo, on $name", (runtime) => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-no-fifo-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const hidden = "mount --bind /dev/null $(command -v mkfifo)";
  const redirect = 'if [ -n "$OUT" ]; then exec >>"$OUT" 2>&1; fi; exec "$@"';
  const without = behind(runtime, `exec unshare --mount sh -c '${hidden}; ${redirect}' sh "$@"`);

  test.each([
    ["a file", "out", /what it writes to \/dev\/stdout does not pass through the agent/],
    ["a socket", "", /what it writes to \/dev\/stdout is lost/],
  ])(
    "reality 1: a proxy whose output is %s gets ready, and says what becomes of its access log",
    async (_, file, warning) => {
      const where = await mkdtemp(join(folder, "case-"));
      const resources = await meshWithLogs(join(where, "mesh"), ["/dev/stdout"]);
      await using sandbox = await createSandbox(without, { resources });
      await using _controlPlane = await sandbox.startControlPlane();
      const out = file === "" ? "" : join(where, file);
      await using agent = await sandbox.startProxy({ proxyConfig: { fileFlushInterval: "0.05s" }, env: { OUT: out } });
      await expect.poll(() => statusOf(`http://127.0.0.1:${sandbox.ports.outbound}/first`)).toBe(200);
      const read = async (): Promise<string> =>
        `${out === "" ? "" : await readFile(out, "utf8")}${agent.stdout()}${agent.stderr()}`;
      if (runtime.name === "Node") expect((await read()).match(warning)).toHaveLength(1);
      else expect(await read()).not.toContain("Cannot make pipes"); // it calls the C library
      if (runtime.name !== "Node" || out !== "") {
        await expect.poll(read).toContain("log /dev/stdout /first end\n");
      }
      agent.kill("SIGTERM");
      expect((await agent.ended).code).toBe(0);
    },
  );
});

/** One listener that answers by itself, without a control plane. */
function ownBootstrap(admin: number, port: number): unknown {
  const address = (port_value: number) => ({ socket_address: { address: "127.0.0.1", port_value } });
  const answer = { match: { prefix: "/" }, direct_response: { status: 200 } };
  const typed = (name: string) => ({ "@type": `type.googleapis.com/envoy.extensions.filters.${name}` });
  const manager = {
    ...typed("network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: "own",
    access_log: BOTH.map(fileLog),
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [answer] }] },
    http_filters: [{ name: "envoy.filters.http.router", typed_config: typed("http.router.v3.Router") }],
  };
  const filters = [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }];
  const listeners = [{ name: "own", address: address(port), filter_chains: [{ filters }] }];
  return { admin: { address: address(admin) }, static_resources: { listeners } };
}

function statusOf(url: string): Promise<number> {
  return fetch(url, { signal: AbortSignal.timeout(5_000), headers: { connection: "close" } }).then(
    async (answer) => {
      await answer.text();
      return answer.status;
    },
    () => 0,
  );
}
