import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { runProxy } from "../../src/agent/index.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";

test("the log begins with flags, version, warnings and the effective configuration, without its secrets", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-announce-"));
  const stdout = new PassThrough({ encoding: "utf8" });
  let printed = "";
  stdout.on("data", (text: string) => {
    printed += text;
  });
  const never = new AbortController().signal;
  const [statusPort] = await freePorts(1);
  const proxy = {
    statusPort,
    drainDuration: "30s",
    binaryPath: "/no/such/envoy",
    proxyMetadata: { MY_PASSWORD: "hunter2" },
    tracing: { lightstep: { address: "l:1", accessToken: "hunter2" } },
  };
  const env = { PROXY_CONFIG: JSON.stringify(proxy), POD_NAMESPACE: "n", SERVICE_ACCOUNT: "s", SECRET_TTL: "soon" };
  const signals = { stop: never, hurry: never, force: never };
  const host = { env, cwd: folder, stdout, stderr: new PassThrough(), signals };
  try {
    await expect(runProxy({ args: ["--concurrency=2", "--log_target", "stdout"] }, host)).rejects.toThrow();
    await expect.poll(() => printed).toContain("Effective config: ");
    const lines = printed.split("\n").map((line) => line.split("\t").slice(1).join("\t"));
    const flags = lines.filter((line) => line.startsWith("info\tFLAG: --"));
    const names = flags.map((line) => line.slice(0, line.indexOf("=")));
    expect(names).toEqual([...names].sort());
    expect(flags).toContain('info\tFLAG: --concurrency="2"');
    expect(flags).toContain('info\tFLAG: --log_target="[stdout]"');
    expect(lines.slice(flags.length, flags.length + 2)).toEqual([
      expect.stringMatching(/^info\tVersion /),
      expect.stringMatching(/^warn\tSECRET_TTL: Invalid environment variable value/),
    ]);
    const [, config = ""] = /Effective config: (.*)/.exec(printed) ?? [];
    expect(parse(config)).toMatchObject({
      drainDuration: "30s",
      concurrency: 2,
      tracing: { lightstep: { address: "l:1" } },
    });
    expect(printed).not.toContain("hunter2");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("Envoy's command is told without secrets; what cannot be removed at the end is a warning, and the exit code stays 0", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-close-"));
  const stop = new AbortController();
  const never = new AbortController().signal;
  const stdout = new PassThrough({ encoding: "utf8" });
  let printed = "";
  stdout.on("data", (text: string) => {
    printed += text;
  });
  try {
    const [statusPort, proxyAdminPort, envoyStatus, prometheus] = await freePorts(4);
    await mkdir(join(folder, "var/run/secrets/istio"), { recursive: true });
    await writeFile(join(folder, "var/run/secrets/istio/root-cert.pem"), (await createTestCa()).certPem);
    const proxy = {
      ...{ statusPort, proxyAdminPort, controlPlaneAuthPolicy: "NONE", terminationDrainDuration: "0s" },
      binaryPath: resolve("test/fixtures/fake-envoy"),
      discoveryAddress: "localhost:1",
    };
    const env = {
      PATH: process.env.PATH,
      PROXY_CONFIG: JSON.stringify(proxy),
      POD_NAMESPACE: "n",
      SERVICE_ACCOUNT: "s",
      INSTANCE_IP: "127.0.0.1",
      ISTIO_BOOTSTRAP_OVERRIDE: "overlay.json",
      ENVOY_STATUS_PORT: String(envoyStatus),
      ENVOY_PROMETHEUS_PORT: String(prometheus),
    };
    const host = {
      ...{ env, cwd: folder, stdout, stderr: new PassThrough().resume() },
      signals: { stop: stop.signal, hurry: never, force: never },
    };
    await writeFile(join(folder, "overlay.json"), JSON.stringify({ x: { access_token: "hunter2" } }));
    const running = runProxy({ args: [] }, host);
    await expect.poll(() => printed).toContain("Start: ");
    expect(printed).toMatch(/Envoy command: .*access_token\\":\\"\[hidden\]/);
    expect(printed).not.toContain("hunter2");
    const bootstrap = join(folder, "etc/istio/proxy/envoy-rev.json");
    await rm(bootstrap);
    await mkdir(bootstrap);
    stop.abort(new Error("received signal SIGTERM"));
    expect(await running).toEqual({ exitCode: 0, failure: undefined });
    await expect.poll(() => printed).toContain("Agent has successfully terminated");
    expect(printed.split("\n").filter((line) => /\twarn\tCannot close/.test(line))).toEqual([
      expect.stringMatching(/Cannot close "bootstrap file": .*envoy-rev\.json/),
    ]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
