import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { askVersion } from "../../src/envoy/binary/index.ts";
import { CONNECTIONS_PATH } from "../../src/envoy/supervisor/connections.ts";
import { drainCall, featuresOf } from "../../src/envoy/version-table.ts";
import { ALL_UPDATE_STATS_PATH, READY_STATS_PATH, UPDATE_STATS_PATH } from "../../src/status/envoy-stats.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { versionOf } from "../support/server-info.ts";

// Tests rely on test/fixtures/fake-envoy where a real one cannot be made to misbehave. What it answers is asked here of
// the real Envoy, too.

const FAKE = resolve("test/fixtures/fake-envoy");

/** In the order in which they are asked: a drain changes what comes after it. */
const CALLS = [
  "GET /ready",
  "GET /hot_restart_version",
  "GET /server_info",
  ...[READY_STATS_PATH, UPDATE_STATS_PATH, ALL_UPDATE_STATS_PATH].map((path) => `GET ${path}`),
  `GET ${CONNECTIONS_PATH}`,
  "GET /stats?usedonly&filter=downstream_rq_active$",
  "GET /no-such-command",
  "GET /drain_listeners?graceful",
  ...drains(),
  "POST /drain_listeners?skip_exit",
  "POST /drain_listeners?inboundonly",
  "POST /drain_listeners",
];

test("the fake Envoy of the fault tests answers and ends as the real one does", async () => {
  const [real, fake] = await Promise.all([observe(await realEnvoy(), true), observe(FAKE, true)]);
  expect(fake).toEqual(real);
  expect(real.answers["GET /ready"]).toEqual({ status: 200, type: "text/plain; charset=UTF-8", body: "LIVE\n" });
});

test("the fake Envoy that is never ready answers and ends as a real one that waits for its first clusters", async () => {
  const [real, fake] = await Promise.all([observe(await realEnvoy(), false), observe(FAKE, false)]);
  expect(fake).toEqual(real);
  expect(real.answers["GET /ready"]).toMatchObject({ status: 503, body: "PRE_INITIALIZING\n" });
});

test("the fake Envoy has no answer that is not asked of the real one", async () => {
  const answered = [...(await readFile(FAKE, "utf8")).matchAll(/^ {2}"((?:GET|POST) \/[a-z_/]+)": /gm)].map(
    ([, call]) => call,
  );
  expect(answered.length).toBeGreaterThan(0);
  expect(CALLS.map((call) => call.split("?")[0])).toEqual(expect.arrayContaining(answered));
});

/** Every call that the agent makes to begin a drain. */
function drains(): string[] {
  const wishes = [true, false].flatMap((isInboundOnly) =>
    [true, false].map((keepsAccepting) => ({ isInboundOnly, keepsAccepting })),
  );
  return wishes.map((wish) => `POST ${drainCall(wish, featuresOf(undefined)).path}`);
}

async function observe(binary: string, isLive: boolean) {
  const [port = 0, nobody = 0] = await freePorts(2);
  const folder = await mkdtemp(join(tmpdir(), "pb-fake-"));
  const config = join(folder, "envoy.json");
  await writeFile(config, JSON.stringify(isLive ? await served(port, folder) : waiting(port, nobody)));
  const args = ["-c", config, "--disable-hot-restart", "-l", "off"];
  const env = { ...process.env, FAKE_ENVOY: isLive ? "ready" : "never-ready" };
  const envoy = spawn(binary, args, { stdio: "ignore", env });
  const ended = once(envoy, "exit");
  try {
    await expect
      .poll(() => call(port, "GET /ready").catch(() => undefined))
      .toMatchObject({ status: isLive ? 200 : 503 });
    if (isLive)
      await expect
        .poll(() => call(port, `GET ${READY_STATS_PATH}`))
        .toMatchObject({
          body: expect.stringContaining("workers_started: 1\nserver.state: 0\n"),
        });
    const answers: Record<string, Answer> = {};
    for (const one of CALLS) answers[one] = formOf(await call(port, one));
    const { body: info } = await call(port, "GET /server_info");
    envoy.kill("SIGTERM");
    return { answers, versions: [await askVersion(binary, {}), versionOf(info)], end: await ended };
  } finally {
    envoy.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true });
  }
}

interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly body: unknown;
}

async function call(port: number, request: string) {
  const [method = "", path] = request.split(" ");
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { connection: "close" } });
  return { status: answer.status, type: answer.headers.get("content-type"), body: await answer.text() };
}

/** The answer as the agent reads it: of JSON the fields that it knows, of the list of commands its first line. */
function formOf({ status, type, body }: Awaited<ReturnType<typeof call>>): Answer {
  if (status === 404) return { status, type, body: body.slice(0, body.indexOf("\n")) };
  if (type !== "application/json") return { status, type, body };
  const { state, command_line_options } = JSON.parse(body);
  return { status, type, body: { state, epoch: command_line_options.restart_epoch } };
}

/** The state of a live Envoy shows with the first flush; that of a waiting one is asked for before. */
function beginning(port: number, flush: string) {
  const address = { socket_address: { address: "127.0.0.1", port_value: port } };
  return { node: { id: "a", cluster: "b" }, admin: { address }, stats_flush_interval: flush };
}

/** Clusters and listeners come from files, none of each. */
async function served(port: number, folder: string) {
  const sourceOf = async (name: string) => {
    const path = join(folder, `${name}.json`);
    await writeFile(path, JSON.stringify({ version_info: "1", resources: [] }));
    return { resource_api_version: "V3", path_config_source: { path } };
  };
  const dynamic_resources = { cds_config: await sourceOf("cds"), lds_config: await sourceOf("lds") };
  return { ...beginning(port, "0.1s"), dynamic_resources };
}

/** A static cluster whose endpoints come from a server that is not there, and that is waited for without limit. */
function waiting(port: number, nobody: number) {
  const endpoint = { address: { socket_address: { address: "127.0.0.1", port_value: nobody } } };
  const xds = {
    name: "xds",
    type: "STATIC",
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: { cluster_name: "xds", endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
  const api_config_source = {
    api_type: "GRPC",
    transport_api_version: "V3",
    grpc_services: [{ envoy_grpc: { cluster_name: "xds" } }],
  };
  const eds_config = { resource_api_version: "V3", initial_fetch_timeout: "0s", api_config_source };
  const clusters = [xds, { name: "waited-for", type: "EDS", eds_cluster_config: { eds_config } }];
  return { ...beginning(port, "200s"), static_resources: { clusters } };
}
