import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Lifetime } from "../../src/base/index.ts";
import { runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { childrenOf, isAlive } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createSandbox } from "../support/sandbox.ts";

// A hot restart tells a connection to go with the answer to its next request. One that has none before the previous Envoy
// ends is closed as it stands, and a request that a client sends before it has noticed is lost: a race that HTTP/1.1 has with
// every server. No byte of an answer has come then, so a client may repeat it (RFC 9110, 9.2.2). A bare Envoy is the floor.

const SHUTDOWN_SECONDS = 1;
const OK = /^HTTP\/1.1 200 OK/;
const TOLD = /^HTTP\/1.1 200 OK[\s\S]*connection: close/i;

describe("a connection without a request while the previous Envoy drains", () => {
  test("is closed without notice by a bare Envoy", async () => {
    await using envoy = await startBareEnvoy();
    using silent = await openSilent(envoy.port);
    await envoy.restart();
    expect(await silent.closed).toBe("");
    using _ = await openSilent(envoy.port);
  });

  test.each(runtimes())(
    "is closed when that one ends with $name, and one with a request is told before",
    async (runtime) => {
      await using sandbox = await createSandbox(runtime);
      await using _ = await sandbox.startControlPlane();
      const env = { PILOTBOAT_HOT_RESTART: "true", PILOTBOAT_PARENT_SHUTDOWN: `${SHUTDOWN_SECONDS}s` };
      await using proxy = await sandbox.startProxy({ env, proxyConfig: { drainDuration: `${SHUTDOWN_SECONDS}s` } });
      await proxy.waitFor(/Start: .*ready/);
      const { outbound } = sandbox.ports;
      using used = await openSilent(outbound);
      using silent = await openSilent(outbound);
      const [previous = 0] = childrenOf(proxy.pid);
      expect(await sandbox.reload()).toMatchObject({ outcome: "replaced" });
      expect(await used.answer()).toMatch(TOLD);
      await expect.poll(() => isAlive(previous)).toBe(false);
      expect(await silent.closed).toBe("");
      using _next = await openSilent(outbound);
    },
  );
});

/** A connection over which one request was answered. `closed` resolves with what came without a request. */
async function openSilent(port: number) {
  const socket = connect(port, "127.0.0.1").setEncoding("utf8");
  socket.on("error", () => undefined);
  const answer = (): Promise<string> =>
    new Promise((done) => {
      socket.once("data", (text: string) => done(text)).once("close", () => done("closed"));
      socket.write("GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n");
    });
  expect(await answer()).toMatch(OK);
  let unasked = "";
  const closed = new Promise<string>((done) => {
    socket.on("data", (text: string) => {
      unasked += text;
    });
    socket.once("close", () => done(unasked));
  });
  return { answer, closed, [Symbol.dispose]: () => void socket.destroy() };
}

/** Without an agent, and without a control plane. */
async function startBareEnvoy() {
  const life = new Lifetime();
  const folder = await mkdtemp(join(tmpdir(), "pb-bare-"));
  life.defer("folder", () => rm(folder, { recursive: true, force: true }));
  const [port = 0, admin = 0, baseId = 0] = await freePorts(3);
  const file = join(folder, "envoy.json");
  await writeFile(file, JSON.stringify(answering(port, admin)));
  const binary = await realEnvoy();
  const start = async (epoch: number) => {
    const times = ["--drain-time-s", "1", "--parent-shutdown-time-s", String(SHUTDOWN_SECONDS)];
    const meeting = ["--base-id", String(baseId), "--restart-epoch", String(epoch), "--socket-path", join(folder, "s")];
    const words = ["-c", file, ...meeting, ...times, "--drain-strategy", "immediate", "-l", "error"];
    const child = spawn(binary, words, { stdio: "ignore" });
    const gone = once(child, "exit");
    life.defer("envoy", async () => {
      child.kill("SIGKILL");
      await gone;
    });
    await expect.poll(() => liveEpoch(admin)).toBe(epoch);
    return { gone };
  };
  const first = await start(0);
  life.defer("shared memory", () => rm(`/dev/shm/envoy_shared_memory_${baseId}0`, { force: true }));
  return {
    port,
    /** Resolves when the previous one is gone. */
    async restart() {
      await start(1);
      await first.gone;
    },
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}

async function liveEpoch(admin: number): Promise<number | undefined> {
  const answer = await fetch(`http://127.0.0.1:${admin}/server_info`).catch(() => undefined);
  const info = (await answer?.json()) as { state: string; command_line_options: { restart_epoch: number } } | undefined;
  return info?.state === "LIVE" ? info.command_line_options.restart_epoch : undefined;
}

function answering(port: number, admin: number) {
  const at = (port_value: number) => ({ address: { socket_address: { address: "127.0.0.1", port_value } } });
  const filters = "type.googleapis.com/envoy.extensions.filters";
  const router = { name: "router", typed_config: { "@type": `${filters}.http.router.v3.Router` } };
  const routes = [{ match: { prefix: "/" }, direct_response: { status: 200 } }];
  const manager = {
    "@type": `${filters}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "bare",
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    http_filters: [router],
  };
  const chain = { filters: [{ name: "http", typed_config: manager }] };
  return { admin: at(admin), static_resources: { listeners: [{ name: "one", ...at(port), filter_chains: [chain] }] } };
}
