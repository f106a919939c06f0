import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AgentReport } from "../../src/agent/index.ts";
import { type RunningCommand, run, runtimes, start } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createSandbox } from "../support/sandbox.ts";

beforeAll(() => realEnvoy());

describe.each(runtimes())("a look at running agents on $name", (runtime) => {
  let temporary: string;
  beforeAll(async () => {
    temporary = await mkdtemp(join(tmpdir(), "pb-status-"));
  });
  afterAll(() => rm(temporary, { recursive: true, force: true }));

  const env = () => ({ TMPDIR: temporary, XDG_STATE_HOME: join(temporary, "state") });
  const pilotboat = (...args: readonly string[]) => run(runtime, args, { cwd: temporary, env: env() });
  const up = () => start(runtime, ["up"], { cwd: temporary, env: env() });
  const folderOf = async (command: RunningCommand) => (await command.waitFor(/^folder +(\S+)$/m))[1] ?? "";
  /** Of the agents below our folder: the machine may have others. */
  const listed = async (): Promise<{ pid: number; runFolder: string; readiness?: { ready: boolean } }[]> =>
    JSON.parse((await pilotboat("ps", "-o", "json")).stdout).filter((one: { runFolder: string }) =>
      one.runFolder.startsWith(temporary),
    );

  test("ps shows two agents at once, and after a kill -9 the one that lives", async () => {
    expect(await listed()).toEqual([]);
    await using one = up();
    await using two = up();
    const folders = [await folderOf(one), await folderOf(two)];
    for (const each of [one, two]) await each.waitFor(/^Ctrl-C stops everything/m);
    const both = await listed();
    expect(both.map(({ runFolder }) => runFolder).sort()).toEqual([...folders].sort());
    expect(both).toMatchObject([
      { role: "sidecar", readiness: { ready: true } },
      { role: "sidecar", readiness: { ready: true } },
    ]);
    const { code, stdout } = await pilotboat("ps");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^PID +ROLE +AGE +STATUS +ADMIN +FOLDER +READY$/m);
    for (const { pid, runFolder } of both) {
      expect(stdout).toMatch(new RegExp(`^${pid} +sidecar +\\S+ +\\d+ +\\d+ +${runFolder} +yes, for `, "m"));
    }
    one.kill("SIGKILL");
    await one.ended;
    await expect.poll(listed).toMatchObject([{ pid: two.pid, runFolder: folders[1] }]);
  });

  test("status tells all, with exit code 0; a killed Envoy with its evidence; --watch without a terminal has no codes", async () => {
    await using command = up();
    const folder = await folderOf(command);
    const status = await pilotboat("status", folder);
    expect(status.code).toBe(0);
    for (const row of [
      /^ready +yes, for \d+s$/m,
      /^agent +pilotboat \S+ on (Node|Bun) \S+, pid \d+, for \d+s, \d+ MiB$/m,
      /^envoy +running, version \d+\.\d+\.\d+, pid \d+, epoch 0, for \d+s, \d+ MiB$/m,
      /^restarts +0$/m,
      /^ports +\d+ status, \d+ Envoy's admin, \d+ Envoy's health, \d+ Envoy's metrics$/m,
      /^CDS +SYNCED, \d+ resources, version \S+ \d+s ago$/m,
      /^LDS +SYNCED, 2 resources, version \S+ \d+s ago$/m,
      /^certificate +spiffe:\/\/cluster\.local\/ns\/default\/sa\/quickstart$/m,
      /^valid .* left$/m,
      /^next rotation /m,
      /^start +configuration read \d+ ms, .*ready \d+ ms$/m,
    ]) {
      expect(status.stdout).toMatch(row);
    }
    const { envoy } = JSON.parse((await pilotboat("status", folder, "-o", "json")).stdout) as AgentReport;
    if (!("child" in envoy)) throw new Error(`Envoy is ${envoy.kind}`);
    process.kill(envoy.child.pid, "SIGKILL");
    const [, evidence = ""] = await command.waitFor(/^Envoy exited: signal: killed, .*evidence in (\S+?);/m);
    await command.waitFor(/^Envoy runs again/m);
    const after = (await pilotboat("status", folder)).stdout;
    expect(after).toMatch(/^restarts +1$/m);
    expect(after).toMatch(
      new RegExp(`^last crash +signal: killed, pid ${envoy.child.pid}, .*; evidence in ${evidence}$`, "m"),
    );

    await using watching = start(runtime, ["status", "--watch", folder], { cwd: temporary });
    await watching.waitFor(/^ready [\s\S]*^ready /m);
    watching.kill("SIGINT");
    expect(await watching.ended).toEqual({ code: 0, signal: null });
    expect(watching.stdout()).not.toContain("\u001b");
    expect(watching.stderr()).toBe("");
    const line = `${runtime.command.join(" ")} status --watch "$1" | head -1`;
    const shell = { name: "sh", command: ["sh"] };
    await using pipe = start(shell, ["-c", line, "sh", folder], { cwd: temporary }); // head leaves after its line
    expect([await pipe.ended, pipe.stderr()]).toEqual([{ code: 0, signal: null }, ""]);
    expect(pipe.stdout()).toMatch(/^ready [^\n]*\n$/);
  });

  test("not ready: exit code 1, the cause with its kind, and the log has the line once however often it is asked", async () => {
    await using sandbox = await createSandbox(runtime);
    await using controlPlane = await sandbox.startControlPlane(); // for its credentials
    controlPlane.kill("SIGTERM");
    await controlPlane.ended;
    await using agent = await sandbox.startProxy();
    const ask = (headers: Record<string, string> = {}) =>
      fetch(`http://127.0.0.1:${sandbox.ports.status}/healthz/ready`, { headers }).then(
        async (answer) => ({ status: answer.status, text: await answer.text() }),
        () => ({ status: 0, text: "" }),
      );
    await expect.poll(async () => (await ask()).text).toMatch(/^config not received .*failed attempts/);
    const { status, text } = await ask({ Accept: "application/json" });
    expect(status).toBe(503);
    const report = JSON.parse(text) as AgentReport["readiness"];
    expect(report).toMatchObject({
      ready: false,
      reason: expect.stringMatching(/^config not received from XDS server/),
    });
    expect(report.causes[0]).toMatchObject({
      kind: "connect",
      since: expect.any(String),
      waitedMs: expect.any(Number),
    });
    for (let round = 0; round < 10; round++) await ask();
    const lines = agent.stdout().split("\n");
    const told = lines.filter((line) => line.includes("NOT ready") && line.includes("failed attempts"));
    expect(told).toHaveLength(1);

    const shown = await pilotboat("status", sandbox.folder);
    expect(shown.code).toBe(1);
    expect(shown.stdout).toMatch(/^ready +no, for \d+s: config not received from XDS server/m);
    expect(shown.stdout).toMatch(/^because +connect: control plane .*ECONNREFUSED/m);
    expect((await pilotboat("status", sandbox.folder, "-o", "yaml")).code).toBe(1);
    expect((await pilotboat("ps")).stdout).toMatch(new RegExp(`${sandbox.folder} +no, for .*: config not received`));
  });
});
