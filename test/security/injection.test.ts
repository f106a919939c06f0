import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import type { AgentReport } from "../../src/agent/index.ts";
import { AgentError, counter, createLogger, createMetrics } from "../../src/base/index.ts";
import { describeReport } from "../../src/cli/describe-report.ts";
import { printError } from "../../src/cli/index.ts";
import { plain } from "../../src/cli/terminal/text.ts";
import { createMeshNews } from "../../src/cli/up-news.ts";
import { ConfigError, formatProblem } from "../../src/config/index.ts";
import { keepEvidence } from "../../src/envoy/evidence/crash-evidence.ts";
import { passOn } from "../../src/envoy/output/index.ts";
import { startRig } from "../status/rig.ts";
import { startFakeCa } from "../support/fake-ca.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";
import { createTestCa } from "../support/test-ca.ts";
import { ATTACKS, attackText, EVERYTHING, unsafeIn } from "./hostile-text.ts";
import { ask, listenOn } from "./rig.ts";

const SEEDS = Array.from({ length: 2_000 }, (_, seed) => seed);
const TEXTS = [...ATTACKS, ...SEEDS.map(attackText)];

/** Attacks on one sink: nothing unsafe comes out, and as many lines as of harmless text. */
function attack(sink: (text: string) => string): void {
  const lines = sink("harmless").split("\n").length;
  for (const text of TEXTS) {
    const shown = sink(text);
    expect(unsafeIn(shown)).toBeUndefined();
    expect(shown.split("\n"), JSON.stringify(text)).toHaveLength(lines);
  }
}

function logged(asJson: boolean, say: (log: ReturnType<typeof createLogger>) => void): string {
  const lines: string[] = [];
  say(createLogger({ asJson, write: (line) => void lines.push(line) }));
  return lines.join("");
}

describe.each([
  ["text", false],
  ["JSON", true],
])("the log as %s", (_form, asJson) => {
  test("hostile 6: nothing that a message or a field holds is a line, a column or a command", () => {
    attack((text) =>
      logged(asJson, (log) => {
        log.info(`said: ${text}`);
        log.warn("m", { text, error: new Error(text), deep: { [text]: [text] }, list: new Map([[text, text]]) });
        log.scope("sds").error(text);
      }),
    );
  });

  test("hostile 6: columns and values stay where they were", () => {
    for (const text of TEXTS) {
      const line = logged(asJson, (log) => log.scope("sds").info(`m ${text}`, { text }));
      if (!asJson) expect(line.split("\t").slice(1, 3)).toEqual(["info", "sds"]);
      if (!asJson) expect(line.split("\t")).toHaveLength(5);
      if (asJson) expect(JSON.parse(line)).toMatchObject({ scope: "sds", msg: `m ${text}`, text });
    }
  });
});

/** What a failed command prints. */
function errorText(error: unknown): string {
  const chunks: string[] = [];
  const stderr = new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, done) => done(void chunks.push(chunk)),
  });
  printError({ stderr, env: {} }, error);
  return chunks.join("");
}

/** A report in which a peer has filled every text. */
function reportOf(text: string): AgentReport {
  const child = { pid: 1, epoch: 0, startedMs: 0 };
  const report = {
    version: text,
    pid: 1,
    node: text,
    envoy: { kind: text, child },
    history: { restarts: 1, lastCrash: { reason: text, pid: 1, endedMs: 0, evidence: text } },
    envoys: 1,
    drainLeftSeconds: 0,
    controlPlane: { address: text, state: text },
    identity: {
      certificate: {
        source: "ca",
        subject: text,
        subjectAltName: text,
        issuer: text.replaceAll("\n", ""),
        serialNumber: text,
        notBeforeMs: 0,
        notAfterMs: 1,
        rootFingerprints: [text],
      },
      nextRotationMs: 1,
      lastError: text,
      token: { kind: text, leftMs: 1, expiresAtMs: 1 },
      files: [],
      outputProblem: text,
      troubles: [
        { text, sinceMs: 0 },
        { text, sinceMs: 1 },
      ],
    },
    timeline: {},
    leftOut: [{ filter: text, type: text, lost: text }],
    wasm: [{ name: text, url: text, state: "substituted", sinceMs: 0, error: text, consequence: text }],
  };
  return report as unknown as AgentReport;
}

test("hostile 6: status shows every text of a report in its own row", () => {
  attack((text) => plain(describeReport(reportOf(text), 0)));
});

test("hostile 6: what a failed command prints is one message; what it quotes begins no line", () => {
  for (const text of TEXTS) {
    const failed = new AgentError("CA_REFUSED", `Cannot sign: ${text}`, { cause: new Error(text) });
    const [, ...more] = errorText(failed).trimEnd().split("\n");
    for (const line of more) expect(line).toMatch(/^ {4}/);
    const bug = errorText(new Error(text)).trimEnd().split("\n").slice(1);
    for (const line of bug) expect(line).toMatch(/^ {4}/);
  }
});

test("hostile 6: problems of the configuration keep their form", () => {
  const problem = (text: string) => ({ name: text, origin: { source: text, line: 1 }, message: text, hint: text });
  attack((text) => formatProblem(problem(text)));
  attack((text) => errorText(new ConfigError([problem(text)], [problem(text)])));
});

test("hostile 6: what up tells of the mesh is one line for each piece of news", () => {
  attack((text) => {
    const lines: string[] = [];
    const news = createMeshNews((line) => void lines.push(line));
    const rejection = { nodeId: text, typeUrl: text, message: text };
    news.onNews({ kind: "refused", rejection });
    news.onNews({ kind: "not read", error: new AgentError("RESOURCES_INVALID", text, { hint: text }) });
    return lines.map((line) => line.replaceAll(" ", "")).join("\n");
  });
});

test("hostile 6: metrics stay what Prometheus reads", () => {
  attack((text) => {
    const metrics = createMetrics("istio_agent_");
    metrics.count(counter("x_total", ""), { label: text.replaceAll("\n", "") });
    return metrics.render();
  });
});

test("hostile 6: the readiness body, the report and the name table are clean, and the JSON means the same", async () => {
  let text = "";
  await using rig = await startRig({
    checks: [{ name: "peer", check: () => text }],
    agentReport: () => ({ text }),
    nameTable: () => ({ [text]: text }),
  });
  for (const one of TEXTS.slice(0, 100)) {
    text = Buffer.from(one).toString();
    const ready = await rig.call("/healthz/ready");
    expect(unsafeIn(ready.text)).toBeUndefined();
    expect(ready.text.trimEnd().split("\n")).toHaveLength(1);
    const report = await rig.call("/debug/agent");
    expect(unsafeIn(report.text)).toBeUndefined();
    expect(JSON.parse(report.text)).toEqual({ text });
    const table = await rig.call("/debug/ndsz");
    expect(unsafeIn(table.text)).toBeUndefined();
    expect(JSON.parse(table.text)).toEqual({ [text]: text });
  }
  expect(unsafeIn(rig.log.join(""))).toBeUndefined();
});

test("hostile 6: nothing in a crash folder commands the terminal that shows it", async () => {
  const base = await mkdtemp(join(tmpdir(), "pb-injection-"));
  const bootstrapFile = join(base, "envoy-rev.json");
  await writeFile(bootstrapFile, JSON.stringify({ node: { id: EVERYTHING } }));
  const lines: string[] = [];
  try {
    const kept = await keepEvidence(
      join(base, "crashes"),
      {
        what: "crashed",
        reason: EVERYTHING,
        pid: 12,
        exitCode: 1,
        signal: undefined,
        startedMs: 0,
        endedMs: 1,
        wasLive: true,
        lastLines: ATTACKS,
        binary: "/envoy",
        version: EVERYTHING,
        args: ["--config-yaml", EVERYTHING],
        cwd: base,
        bootstrapFile,
        oomKillsBefore: 0,
        oomKillsAfter: 0,
        threads: EVERYTHING,
      },
      { log: createLogger({ write: (line) => void lines.push(line) }) },
    );
    const names = (await readdir(kept ?? "")).sort();
    expect(names).toEqual(["bootstrap.json", "report.json", "stderr.txt", "threads.txt"]);
    for (const name of names) expect(unsafeIn(await readFile(join(kept ?? "", name), "utf8"))).toBeUndefined();
    const bootstrap = JSON.parse(await readFile(join(kept ?? "", "bootstrap.json"), "utf8"));
    expect(bootstrap).toEqual({ node: { id: EVERYTHING } });
    for (const line of lines) expect(unsafeIn(line)).toBeUndefined();
  } finally {
    await rm(base, { recursive: true });
  }
});

test.each([
  ["a pipe", false],
  ["a terminal", true],
])("hostile 6: Envoy's bytes on %s are escaped only if it would obey them", async (_where, isTTY) => {
  const said = Buffer.concat([Buffer.from(EVERYTHING), Buffer.from([0xff, 0x9b, 0x0a])]);
  const chunks = [said];
  let shown = Buffer.alloc(0);
  const to = Object.assign(
    new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        shown = Buffer.concat([shown, chunk]);
        done();
      },
    }),
    { isTTY },
  );
  await passOn({ next: async () => chunks.shift(), close: () => undefined }, { to }).done;
  if (isTTY) expect(unsafeIn(shown.toString())).toBeUndefined();
  else expect(shown.equals(said)).toBe(true);
});

const FAKE_ENVOY = resolve("test/fixtures/fake-envoy");
const SAID = Buffer.from("[client] \u001b[31mred\u001b[0m \u202e\u0007\n");

describe.each(runtimes())("$name", (runtime) => {
  test("hostile 6: between a CA, a control plane and an Envoy that inject, log, status and readiness are clean", async () => {
    const tlsCa = await createTestCa();
    const dns = ["istiod.istio-system.svc", "localhost"];
    await using ca = await startFakeCa({ tlsCa, dns });
    ca.behaviour = { kind: "status", code: 7, details: EVERYTHING };
    const onStream = (stream: { end(status: { code: number; details: string }): void }): void =>
      stream.end({ code: 7, details: EVERYTHING });
    await using istiod = await startFakeIstiod({ tls: await tlsCa.issue({ dns }), onStream });
    await using sandbox = await createSandbox(runtime);
    await write(join(sandbox.folder, "var/run/secrets/istio/root-cert.pem"), ca.tlsRootPem);
    await write(join(sandbox.folder, "var/run/secrets/tokens/istio-token"), "a.token");
    await using agent = await sandbox.startProxy({
      proxyConfig: { binaryPath: FAKE_ENVOY, discoveryAddress: `localhost:${istiod.port}` },
      env: { CA_ADDR: `localhost:${ca.port}`, FAKE_ENVOY: `says-${SAID.toString("hex")}` },
    });
    await agent.waitFor(/failed to sign CSR[^\n]*FORGED/);
    await expect.poll(async () => (await ask(sandbox.ports.status, "/healthz/ready")).text).toContain("FORGED");
    const ready = await ask(sandbox.ports.status, "/healthz/ready");
    expect(ready.text.trimEnd().split("\n")).toHaveLength(1);
    expect(unsafeIn(Buffer.from(ready.text, "latin1").toString())).toBeUndefined();
    const status = await run(runtime, ["status", sandbox.folder]);
    expect(status.stdout).toContain("FORGED");
    expect(unsafeIn(status.stdout)).toBeUndefined();
    for (const line of status.stdout.trimEnd().split("\n")) expect(line).toMatch(/^[a-z][a-z ]{11,}/);
    const json = await run(runtime, ["status", sandbox.folder, "-o", "json"]);
    expect(unsafeIn(json.stdout)).toBeUndefined();
    expect(JSON.parse(json.stdout).identity.lastError).toContain("\u202eesrever");
    agent.kill("SIGTERM");
    await agent.ended;
    for (const output of [agent.stdout(), agent.stderr()]) expect(output).toContain(SAID.toString()); // Envoy's own, untouched
    const own = [agent.stdout(), agent.stderr()].map((output) => output.replace(SAID.toString(), "")).join("");
    expect(unsafeIn(own)).toBeUndefined();
    for (const line of own.trimEnd().split("\n"))
      expect(line).toMatch(/^20\d\d-\d\d-\d\dT[\d:.]+Z\t(info|warn|error)\t/);
    expect(own).not.toMatch(/^2026-01-01T00:00:00.000000Z/m);
  });

  test("hostile 6: the answer of a request is exact in a pipe, and its failure is clean", async () => {
    const server = createServer((request, response) => {
      response.writeHead(request.url === "/bad" ? 500 : 200).end(EVERYTHING);
    });
    const port = await listenOn(server);
    const env = { ENVOY_STATUS_PORT: String(port) };
    try {
      const good = await run(runtime, ["request", "--debug-port", String(port), "GET", "good"], { env });
      expect(good).toMatchObject({ code: 0, stdout: `${EVERYTHING}\n` });
      const bad = await run(runtime, ["request", "--debug-port", String(port), "GET", "bad"], { env });
      expect(bad.code).toBe(1);
      expect(bad.stderr).toContain("FORGED");
      expect(unsafeIn(bad.stderr)).toBeUndefined();
      for (const line of bad.stderr.trimEnd().split("\n").slice(1)) expect(line).toMatch(/^ {4}/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
