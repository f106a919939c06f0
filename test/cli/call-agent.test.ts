import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startOf } from "../../src/host/index.ts";
import { runInProcess } from "../support/run-cli.ts";

let folder: string;
let other: Server;
let asked: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-call-"));
  await mkdir(join(folder, "etc/istio/proxy"), { recursive: true });
  asked = [];
  other = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const { port } = other.address() as AddressInfo;
    const at = `127.0.0.1:${port}`;
    const envoyAddresses = { admin: at, health: at };
    const report = { version: "0", pid: 1, node: "other", envoy: { kind: "disabled" }, envoys: 0, envoyAddresses };
    response.end(request.url?.startsWith("/debug/agent") ? JSON.stringify(report) : "answered");
  });
  await listenOn("127.0.0.1");
});
afterEach(async () => {
  other.close();
  await rm(folder, { recursive: true, force: true });
});

function listenOn(host: string, port = 0): Promise<void> {
  return new Promise((done) => other.listen({ host, port, ipv6Only: true }, done));
}

async function leaveRunFile(start: string | undefined, statusAddress?: string): Promise<void> {
  const { port } = other.address() as AddressInfo;
  const file = { pid: process.pid, start, statusPort: port, statusAddress, envoys: [] };
  await writeFile(join(folder, "etc/istio/proxy/agent.json"), JSON.stringify(file));
}

test.each(["status", "reload"])("%s does not ask whoever has the port of an agent that is gone", async (command) => {
  await leaveRunFile("long ago");
  const { code, stderr } = await runInProcess([command, "--run-folder", folder], { cwd: folder, env: {} });
  expect(code).toBe(1);
  expect(stderr).toContain(`the agent with pid ${process.pid} is gone [REQUEST_FAILED]`);
  expect(asked).toEqual([]);
});

test("the agent that lives is asked", async () => {
  await leaveRunFile(await startOf(process.pid));
  const { code } = await runInProcess(["status", "--run-folder", folder, "-o", "json"], { cwd: folder, env: {} });
  expect({ code, asked }).toEqual({ code: 0, asked: ["GET /debug/agent"] });
});

test("the folder may be an argument; two that differ, and a form that nobody prints, are refused", async () => {
  await leaveRunFile(await startOf(process.pid));
  const status = (...args: readonly string[]) => runInProcess(["status", ...args], { cwd: "/", env: {} });
  expect((await status(folder, "-o", "json")).code).toBe(0);
  expect((await status(folder, "--run-folder", folder, "-ojson")).code).toBe(0);
  expect(await status(folder, "--run-folder", "/other")).toMatchObject({ code: 2, stdout: "" });
  const { code, stderr } = await status(folder, "-o", "xml");
  expect(code).toBe(2);
  expect(stderr).toContain('Cannot use --output "xml", wanted json');
  expect(asked).toHaveLength(2);
});

test("reality 25: request --run-folder asks that agent's Envoy, or the agent", async () => {
  await leaveRunFile(await startOf(process.pid));
  const request = (...args: readonly string[]) =>
    runInProcess(["request", "--run-folder", folder, ...args], { cwd: "/", env: {} });
  expect(await request("GET", "stats?usedonly")).toMatchObject({ code: 0, stdout: "answered\n" });
  expect((await request("--debug-port", "15020", "POST", "/drain")).code).toBe(0);
  expect((await request("--debug-port=15021", "GET", "healthz/ready")).code).toBe(0);
  expect(asked.filter((one) => !one.includes("/debug/agent"))).toEqual([
    "GET /stats?usedonly",
    "POST /drain",
    "GET /healthz/ready",
  ]);
  expect((await request("--debug-port", "1", "GET", "x")).code).toBe(2);
});

test("reality 25: wait --run-folder waits for an agent that is not there yet", async () => {
  const waiting = runInProcess(["wait", "--run-folder", folder, "--periodMillis=20"], { cwd: "/", env: {} });
  await leaveRunFile(await startOf(process.pid));
  expect(await waiting).toMatchObject({ code: 0, stdout: expect.stringContaining("Envoy is ready!") });
  expect(asked).toEqual(["GET /healthz/ready"]);
  const both = await runInProcess(["wait", "--run-folder", folder, "--url=http://localhost:1/"], { cwd: "/", env: {} });
  expect(both.code).toBe(2);
});

test.runIf(process.platform === "linux").each(["status", "reload"])(
  "reality 25: %s in a folder without an agent names the agents that run",
  async (command) => {
    await leaveRunFile(await startOf(process.pid));
    const inFolder = spawn("sleep", ["60"], { cwd: folder });
    try {
      await once(inFolder, "spawn");
      const { code, stderr } = await runInProcess([command], { cwd: "/", env: {} });
      expect(code).toBe(1);
      expect(stderr).toContain(`--run-folder ${folder} (pid ${process.pid})`);
      expect(asked).toEqual([]);
    } finally {
      inFolder.kill();
    }
  },
);

test.each([
  ["::1", "[::]:1"],
  ["::1", "[::1]:1"],
  ["::1", undefined],
  ["127.0.0.1", "[::]:1"],
  ["127.0.0.1", "0.0.0.0:1"],
  ["127.0.0.1", "127.0.0.1:1"],
])("reality 18: an agent that answers at %s and noted %s is found", async (host, noted) => {
  await new Promise((done) => other.close(done));
  await listenOn(host);
  await leaveRunFile(await startOf(process.pid), noted);
  const { code, stderr } = await runInProcess(["status", "-ojson", "--run-folder", folder], { cwd: folder, env: {} });
  expect({ code, stderr, asked }).toEqual({ code: 0, stderr: "", asked: ["GET /debug/agent"] });
  const waited = await runInProcess(["wait", "--run-folder", folder, "--periodMillis=1"], { cwd: folder, env: {} });
  expect(waited.code).toBe(0);
});

test("reality 18: an agent that noted one address is not looked for at the other", async () => {
  await leaveRunFile(await startOf(process.pid), "[::1]:1");
  const { code, stderr } = await runInProcess(["status", "-ojson", "--run-folder", folder], { cwd: folder, env: {} });
  expect(code).toBe(1);
  expect(stderr).toContain("ECONNREFUSED");
  expect(asked).toEqual([]);
});
