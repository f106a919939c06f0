import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { silentLogger } from "../../src/base/index.ts";
import { askVersion, ENVOY_LOCK, thisPlatform } from "../../src/envoy/binary/index.ts";
import { type ArgumentsOptions, createAdminClient, envoyArguments, featuresOf } from "../../src/envoy/index.ts";
import { agentExitCode, type SupervisedEnvoy, superviseEnvoy } from "../../src/envoy/supervisor/index.ts";
import { drainCall } from "../../src/envoy/version-table.ts";
import { noMetrics } from "../support/no-metrics.ts";
import { outputSource } from "../support/output.ts";
import { freePorts } from "../support/ports.ts";
import { isAlive } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { versionOf } from "../support/server-info.ts";

const DRAIN_SECONDS = 2;
const LIMIT_MS = 5_000;
const never = new AbortController().signal;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-versions-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.concurrent.each([
  { version: "1.36.4", knowsFlushSize: false, answerOfSkipExitAlone: 400 },
  { version: "1.38.3", knowsFlushSize: true, answerOfSkipExitAlone: 400 },
  { version: "1.40.0", knowsFlushSize: true, answerOfSkipExitAlone: 200 },
])("Envoy $version", ({ version, knowsFlushSize, answerOfSkipExitAlone }) => {
  test("is the one that envoy.lock.json pins, and says its version", async () => {
    const path = await realEnvoy(version);
    const hash = createHash("sha256");
    await pipeline(createReadStream(path), hash);
    expect(hash.digest("hex")).toBe(ENVOY_LOCK.versions[version]?.[thisPlatform()]?.pypi?.executableSha256);
    expect(await askVersion(path, {})).toBe(version);
  });

  test("takes every argument that the table lets through, and refuses the one that it keeps back", async () => {
    const { configFile } = await writeBootstrap();
    const path = await realEnvoy(version);
    const { list } = envoyArguments({ ...EVERYTHING, configFile }, featuresOf(version));
    expect(list.includes("--file-flush-min-size-kb")).toBe(knowsFlushSize);
    expect(await validate(path, list)).toBe(0);
    const unasked = [...list, ...(knowsFlushSize ? [] : ["--file-flush-min-size-kb", "64"])];
    expect(await validate(path, unasked)).toBe(knowsFlushSize ? 0 : 1);
  });

  test("drains what comes in, with and without an end to accepting, and does not end by that", async ({ expect }) => {
    await using open = await startEnvoy(version); // POST /drain: accepts until it is ended
    await using closing = await startEnvoy(version); // the end of a run: closes after the drain time
    const before = await Promise.all([open, closing].map(connectTwice));

    await open.envoy.drain();
    const stopping = closing.envoy[Symbol.asyncDispose]();
    for (const { ask } of before) {
      await expect.poll(() => ask("inbound")).toEqual({ status: 200, isClosing: true });
      expect(await ask("outbound")).toEqual({ status: 200, isClosing: false });
    }
    await expect.poll(() => tryOnce(closing.inbound)).toBe("refused");
    expect(await tryOnce(closing.outbound)).toBe(200);
    expect(isAlive(closing.pid)).toBe(true);
    expect([await tryOnce(open.inbound), await tryOnce(open.outbound)]).toEqual([200, 200]);

    closing.hurry.abort();
    await Promise.all([stopping, open.envoy[Symbol.asyncDispose]()]);
    for (const { envoy, pid } of [open, closing]) {
      expect(agentExitCode(await envoy.ended)).toBe(0);
      expect(isAlive(pid)).toBe(false);
    }
  });

  test("answers every drain call as the table has it", async () => {
    await using one = await startEnvoy(version);
    expect(versionOf(await one.admin.get("/server_info", LIMIT_MS))).toBe(version);
    expect(await tryOnce(one.adminPort, "/drain_listeners?skip_exit", "POST")).toBe(answerOfSkipExitAlone);
    for (const isInboundOnly of [true, false]) {
      for (const keepsAccepting of [true, false]) {
        const { path, warnings } = drainCall({ isInboundOnly, keepsAccepting }, featuresOf(version));
        expect(warnings).toEqual([]);
        expect(await one.admin.post(path, LIMIT_MS)).toBe("OK\n");
      }
    }
  });
});

test.each([
  ["1.28.0", 2],
  ["1.33.0", 1],
  ["1.34.0", 0],
  [undefined, 0],
])("Envoy %s: what it will not do of a sidecar's drain is told in %d lines", (version, lines) => {
  const call = drainCall({ isInboundOnly: true, keepsAccepting: true }, featuresOf(version));
  expect(call).toMatchObject({ path: "/drain_listeners?inboundonly&graceful&skip_exit" });
  expect(call.warnings).toHaveLength(lines);
});

const EVERYTHING: Omit<ArgumentsOptions, "configFile"> = {
  drainSeconds: DRAIN_SECONDS,
  isIpv6Only: false,
  fileFlushIntervalMs: 500,
  fileFlushMinSizeKb: 64,
  logLevel: "error,misc:error",
  componentLogLevel: "",
  skipDeprecatedLogs: true,
  isCoreDumpEnabled: true,
  configOverlay: '{"stats_flush_interval":"60s"}',
  concurrency: 1,
  isHotRestart: false,
};

/** Exit code of `--mode validate` with these arguments. */
function validate(path: string, args: readonly string[]): Promise<number> {
  return promisify(execFile)(path, [...args, "--mode", "validate"]).then(
    () => 0,
    ({ code }: { code: number }) => code,
  );
}

interface Started extends AsyncDisposable {
  readonly envoy: SupervisedEnvoy;
  readonly admin: ReturnType<typeof createAdminClient>;
  readonly pid: number;
  readonly adminPort: number;
  readonly inbound: number;
  readonly outbound: number;
  readonly hurry: AbortController;
}

async function startEnvoy(version: string): Promise<Started> {
  const { configFile, ports } = await writeBootstrap();
  const wanted = { ...EVERYTHING, configFile, isCoreDumpEnabled: false };
  const { list } = envoyArguments(wanted, featuresOf(version));
  const hurry = new AbortController();
  const admin = createAdminClient("127.0.0.1", ports.adminPort);
  const envoy = await superviseEnvoy({
    spawn: {
      binary: await realEnvoy(version),
      args: list,
      cwd: folder,
      env: {},
      runAs: undefined,
      setpriv: undefined,
      output: outputSource(),
      stdout: process.stdout,
      stderr: process.stderr,
    },
    admin,
    features: featuresOf(version),
    drain: {
      isInboundOnly: true,
      delayMs: 0,
      terminationMs: 60_000,
      isExitOnZeroConnections: false,
      minimumMs: 0,
      deadlineMs: 0,
      ownPorts: [],
    },
    restart: "never",
    signals: { hurry: hurry.signal, force: never },
    log: silentLogger,
    metrics: noMetrics,
  });
  await vi.waitFor(() => expect(envoy.state().kind).toBe("running"), { timeout: LIMIT_MS });
  return {
    envoy,
    admin,
    pid: envoy.pid() ?? 0,
    ...ports,
    hurry,
    [Symbol.asyncDispose]() {
      hurry.abort();
      return envoy[Symbol.asyncDispose]();
    },
  };
}

async function writeBootstrap() {
  const [adminPort = 0, inbound = 0, outbound = 0] = await freePorts(3);
  const configFile = join(folder, `${adminPort}.json`);
  const listeners = [listener("INBOUND", inbound), listener("OUTBOUND", outbound)];
  const bootstrap = { admin: { address: addressOf(adminPort) }, static_resources: { listeners } };
  await writeFile(configFile, JSON.stringify(bootstrap));
  return { configFile, ports: { adminPort, inbound, outbound } };
}

const addressOf = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
const typed = (name: string, type: string, fields: object = {}) => ({
  name,
  typed_config: { "@type": `type.googleapis.com/envoy.extensions.filters.${type}`, ...fields },
});

/** A listener that answers everything itself. */
function listener(direction: "INBOUND" | "OUTBOUND", port: number) {
  const routes = [{ match: { prefix: "/" }, direct_response: { status: 200 } }];
  const manager = typed("http", "network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: direction,
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    http_filters: [typed("router", "http.router.v3.Router")],
  });
  return {
    name: direction,
    traffic_direction: direction,
    address: addressOf(port),
    filter_chains: [{ filters: [manager] }],
  };
}

/** One connection to each listener, used already; `ask` uses it again. */
async function connectTwice({ inbound, outbound }: Started) {
  const ports = { inbound, outbound };
  const agents = {
    inbound: new Agent({ keepAlive: true, maxSockets: 1 }),
    outbound: new Agent({ keepAlive: true, maxSockets: 1 }),
  };
  const ask = (side: "inbound" | "outbound") => send(ports[side], "/", "GET", agents[side]);
  await Promise.all([ask("inbound"), ask("outbound")]);
  return { ask };
}

/** Status of a request over a new connection. */
function tryOnce(port: number, path = "/", method = "GET"): Promise<number | string | undefined> {
  return send(port, path, method).then(
    ({ status }) => status,
    ({ code }: NodeJS.ErrnoException) => (code === "ECONNREFUSED" ? "refused" : code),
  );
}

function send(port: number, path: string, method: string, agent?: Agent) {
  return new Promise<{ status: number | undefined; isClosing: boolean }>((done, fail) => {
    const call = request({ host: "127.0.0.1", port, path, method, agent: agent ?? false }, (response) => {
      const { statusCode: status, headers } = response;
      response.resume().once("end", () => done({ status, isClosing: headers.connection === "close" }));
    });
    call.once("error", fail).end();
  });
}
