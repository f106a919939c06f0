import { mkdtemp, rm, unlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createMetrics, silentLogger } from "../../src/base/index.ts";
import {
  adminAccess,
  type Cause,
  type EnvoyPresence,
  envoyReadiness,
  grpcBootstrapReadiness,
  type ReadinessCheck,
} from "../../src/status/index.ts";
import { startRig } from "./rig.ts";

const CDS = "cluster_manager.cds.update_success: 1\n";
const LDS = "listener_manager.lds.update_success: 1\n";
const LIVE = "listener_manager.workers_started: 1\nserver.state: 0\n";

const NOTHING = "cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected";

test.each([
  [
    "only listeners",
    LDS,
    `config not fully received from XDS server: ${NOTHING.replace("lds updates: 0", "lds updates: 1")}`,
  ],
  [
    "clusters rejected",
    `cluster_manager.cds.update_rejected: 1\n${LDS}`,
    "config received from XDS server, but was rejected: cds updates: 0 successful, 1 rejected; lds updates: 1 successful, 0 rejected",
  ],
  ["nothing", "", `config not received from XDS server (is Istiod running?): ${NOTHING}`],
  [
    "workers not started",
    `${CDS}${LDS}listener_manager.workers_started: 0\nserver.state: 0\n`,
    "workers have not yet started",
  ],
  [
    "no workers stat",
    `${CDS}${LDS}server.state: 0\n`,
    /^failed to get readiness stats: listener_manager\.workers_started is not yet updated: .*server\.state: 0$/,
  ],
  [
    "no workers stat, and initializing",
    `${CDS}${LDS}server.state: 3\n`,
    "server is not live, current state is: INITIALIZING",
  ],
  ["no state", `${CDS}${LDS}`, /^failed to get readiness stats: server\.state is not yet updated: /],
  [
    "initializing",
    `${CDS}${LDS}listener_manager.workers_started: 0\nserver.state: 2\n`,
    "server is not live, current state is: PRE_INITIALIZING",
  ],
  [
    "a number that is none",
    "cluster_manager.cds.update_success: x\n",
    /cannot read stat "cluster_manager.cds.update_success"/,
  ],
])("Envoy with %s is not ready, and says why", async (_name, stats, reason) => {
  await using rig = await startRig({ checks: [checkOf(() => stats)] });
  const answer = await rig.call("/healthz/ready");
  expect(answer.status).toBe(503);
  expect(answer.text.trimEnd()).toEqual(typeof reason === "string" ? reason : expect.stringMatching(reason));
  expect(rig.log).toContainEqual(expect.stringContaining("warn\tEnvoy proxy is NOT ready: "));
});

test.each([
  ["no counter of either", "", undefined],
  ["clusters that came and no counter of listeners", CDS, undefined],
  ["a counter of clusters at 0", "cluster_manager.cds.update_success: 0\n", /^config not fully received/],
])(
  "reality 33: of a configuration of the user's only what it asks for is awaited: %s",
  async (_name, stats, reason) => {
    const asked: string[] = [];
    const adminGet = async (path: string) => {
      asked.push(path);
      return path.includes("update_success") ? stats : LIVE;
    };
    const options = {
      adminGet,
      mayBeStatic: true,
      metrics: createMetrics("istio_agent_"),
      log: silentLogger,
      startedMs: 0,
    };
    const answer = await envoyReadiness(options).check();
    expect(answer).toEqual(reason === undefined ? undefined : { phrase: expect.stringMatching(reason), causes: [] });
    expect(asked[0]).not.toContain("usedonly");
  },
);

test("once Envoy has exited the answer is no, and the next one has to show all of it again", async () => {
  let presence: EnvoyPresence = { restarts: 0 };
  let stats = `${CDS}${LDS}${LIVE}`;
  const whileAsked: (() => void)[] = [];
  const check = envoyReadiness({
    adminGet: async () => {
      whileAsked.shift()?.();
      return stats;
    },
    presence: () => presence,
    ...{ metrics: createMetrics("istio_agent_"), log: silentLogger, startedMs: Date.now() },
  });
  await using rig = await startRig({ checks: [check] });
  const ready = async () => {
    const { status, text } = await rig.call("/healthz/ready");
    return `${status} ${text}`.trimEnd();
  };
  expect(await ready()).toBe("200");
  stats = "";
  expect(await ready()).toBe("200"); // a busy one stays ready
  presence = { goneBecause: "Envoy has exited" };
  expect(await ready()).toBe("503 Envoy has exited");
  presence = { restarts: 1 };
  expect(await ready()).toMatch(/^503 config not received from XDS server/);
  stats = `${CDS}${LDS}${LIVE}`;
  whileAsked.push(
    () => undefined,
    () => {
      presence = { goneBecause: "Envoy has exited again" };
    },
  );
  expect(await ready()).toBe("503 Envoy has exited again"); // between its answer and ours
  presence = { restarts: 2 };
  expect(await ready()).toBe("200");
});

test("what the agent knows about the control plane follows the reason", async () => {
  const check = checkOf(
    () => "",
    () => [
      { kind: "connect", text: 'control plane "istiod:15012": UNAVAILABLE: connect ECONNREFUSED 127.0.0.1:15012' },
    ],
  );
  await using rig = await startRig({ checks: [check] });
  expect((await rig.call("/healthz/ready")).text).toBe(
    `config not received from XDS server (is Istiod running?): ${NOTHING}; ` +
      'control plane "istiod:15012": UNAVAILABLE: connect ECONNREFUSED 127.0.0.1:15012\n',
  );
});

test("what Envoy refuses is the only cause, and whether istiod runs is no question then", async () => {
  const stats = "cluster_manager.cds.update_rejected: 1\n";
  const options = {
    adminGet: async () => stats,
    metrics: createMetrics("istio_agent_"),
    log: silentLogger,
    startedMs: 0,
  };
  const check = envoyReadiness({
    ...options,
    refusal: () => ({ kind: "nack", text: "Envoy rejected clusters: bad" }),
    because: () => [{ kind: "tls", text: "a consequence" }],
  });
  await using rig = await startRig({ checks: [check] });
  expect((await rig.call("/healthz/ready")).text).toBe(
    "config received from XDS server, but was rejected: cds updates: 0 successful, 1 rejected; lds updates: 0 successful, 0 rejected; " +
      "Envoy rejected clusters: bad\n",
  );
});

test("what is to be known beside the answer has a line each, also when all is well", async () => {
  let reason: string | undefined;
  await using rig = await startRig({
    checks: [{ name: "one", check: () => reason }],
    notes: () => ["left out: a", "left out: b"],
  });
  expect(await rig.call("/healthz/ready")).toMatchObject({ status: 200, text: "left out: a\nleft out: b\n" });
  reason = "not yet";
  expect(await rig.call("/healthz/ready")).toMatchObject({ status: 503, text: "not yet\nleft out: a\nleft out: b\n" });
});

test("with Accept: application/json the causes have kinds, times and texts, and the line is the same", async () => {
  const sinceMs = Date.now() - 3_000;
  const check = checkOf(
    () => "",
    () => [
      { kind: "dns", text: "getaddrinfo ENOTFOUND istiod", sinceMs },
      { kind: "certificate", text: "none" },
    ],
  );
  await using rig = await startRig({ checks: [check], notes: () => ["left out: a"] });
  const asJson = { headers: { Accept: "text/html;q=0.9, application/json" } };
  const { status, headers, text } = await rig.call("/healthz/ready", asJson);
  expect({ status, type: headers["content-type"] }).toEqual({ status: 503, type: "application/json" });
  const phrase = `config not received from XDS server (is Istiod running?): ${NOTHING}`;
  const report = JSON.parse(text) as { waitedMs: number; causes: { waitedMs: number }[] };
  expect(report).toEqual({
    ready: false,
    since: expect.stringMatching(/^\d{4}-.*Z$/),
    waitedMs: expect.any(Number),
    reason: phrase,
    message: `${phrase}; getaddrinfo ENOTFOUND istiod; none`,
    causes: [
      {
        kind: "dns",
        text: "getaddrinfo ENOTFOUND istiod",
        since: new Date(sinceMs).toISOString(),
        waitedMs: expect.any(Number),
      },
      { kind: "certificate", text: "none" },
    ],
    notes: ["left out: a"],
  });
  expect(report.causes[0]?.waitedMs).toBeGreaterThanOrEqual(3_000);
  const line = "config not received from XDS server";
  expect(rig.log.filter((one) => one.includes(line))).toHaveLength(1);
  for (const Accept of ["*/*", "application/json;q=0", "application/*", "text/plain"]) {
    expect((await rig.call("/healthz/ready", { headers: { Accept } })).headers["content-type"]).toMatch(/^text\/plain/);
  }
  expect(rig.log.filter((one) => one.includes(line))).toHaveLength(1); // once per change, not per poll
});

test("ready since when, as JSON", async () => {
  await using rig = await startRig();
  const ask = async () =>
    JSON.parse((await rig.call("/healthz/ready", { headers: { Accept: "application/json" } })).text);
  const first = await ask();
  expect(first).toEqual({ ready: true, since: expect.any(String), causes: [], notes: [] });
  expect(await ask()).toEqual(first);
});

test("ready once, Envoy is not asked again; the duration is recorded", async () => {
  const metrics = createMetrics("istio_agent_");
  let asked = 0;
  const check = envoyReadiness({
    adminGet: async () => {
      if (++asked > 2) throw new Error("gone");
      return CDS + LDS + LIVE;
    },
    metrics,
    log: silentLogger,
    startedMs: Date.now() - 1_500,
  });
  await using rig = await startRig({ checks: [check] });
  for (let time = 0; time < 3; time++)
    expect(await rig.call("/healthz/ready")).toMatchObject({ status: 200, text: "" });
  expect(asked).toBe(2);
  expect(metrics.render()).toMatch(/istio_agent_startup_duration_seconds 1\.[5-9]/);
  expect(rig.log.filter((line) => line === "info\tEnvoy proxy is ready")).toHaveLength(1);
});

test("the admin API is asked over HTTP; its refusals are the reason", async () => {
  const admin = createServer((request, response) => {
    response.writeHead(request.url?.startsWith("/stats?usedonly&filter=") ? 418 : 404).end();
  });
  await new Promise<void>((resolve) => admin.listen(0, "127.0.0.1", resolve));
  const { port } = admin.address() as AddressInfo;
  const check = envoyReadiness({
    adminGet: adminAccess("127.0.0.1", port),
    metrics: createMetrics("istio_agent_"),
    log: silentLogger,
    startedMs: 0,
  });
  await using rig = await startRig({ checks: [check] });
  expect((await rig.call("/healthz/ready")).text).toBe("Envoy's admin API: unexpected status 418\n");
  await new Promise((resolve) => admin.close(resolve));
  expect((await rig.call("/healthz/ready")).text).toContain("ECONNREFUSED");
});

test("once the agent stops it is not ready, but still answers", async () => {
  await using rig = await startRig();
  expect((await rig.call("/healthz/ready")).status).toBe(200);
  rig.stop.abort(new Error("received signal SIGTERM"));
  expect(await rig.call("/healthz/ready")).toMatchObject({
    status: 503,
    text: "server is terminated: received signal SIGTERM\n",
  });
  expect((await rig.call("/stats/prometheus")).status).toBe(200);
});

test("checks run in order, the first that fails decides", async () => {
  let hasTable = false;
  const asked: string[] = [];
  const first: ReadinessCheck = {
    name: "first",
    check: () => {
      asked.push("first");
      return undefined;
    },
  };
  const last: ReadinessCheck = {
    name: "last",
    check: () => {
      asked.push("last");
      throw new Error("last is broken");
    },
  };
  await using rig = await startRig({
    checks: [first, { name: "names", check: () => (hasTable ? undefined : "no names yet") }, last],
  });
  expect((await rig.call("/healthz/ready")).text).toBe("no names yet\n");
  expect(asked).toEqual(["first"]);
  hasTable = true;
  expect((await rig.call("/healthz/ready")).text).toBe("last is broken\n");
});

test("a gRPC bootstrap must be there, and the files that it names", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-status-"));
  const path = join(folder, "grpc-bootstrap.json");
  const key = join(folder, "key.pem");
  const check = grpcBootstrapReadiness(path, folder);
  const write = (file: string) => {
    const provider = { plugin_name: "file_watcher", config: { private_key_file: file } };
    return writeFile(path, JSON.stringify({ certificate_providers: { default: provider } }));
  };
  try {
    expect(await check.check()).toContain(`failed loading ${path}: `);
    await write(key);
    expect(await check.check()).toBe(`${key} does not exist`);
    await writeFile(key, "");
    expect(await check.check()).toBeUndefined();
    await unlink(key);
    expect(await check.check()).toBe(`${key} does not exist`);
    await write("key.pem");
    const relative = grpcBootstrapReadiness(path, folder);
    expect(await relative.check()).toBe("key.pem does not exist");
    await writeFile(key, "");
    expect(await relative.check()).toBeUndefined();
  } finally {
    await rm(folder, { recursive: true });
  }
});

function checkOf(stats: () => string, because: () => readonly Cause[] = () => []): ReadinessCheck {
  return envoyReadiness({
    adminGet: async () => stats(),
    because,
    metrics: createMetrics("istio_agent_"),
    log: silentLogger,
    startedMs: Date.now(),
  });
}
