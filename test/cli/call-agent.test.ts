import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startOf } from "../../src/envoy/host/index.ts";
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
    response.end(JSON.stringify({ version: "0", pid: 1, node: "other", envoy: { kind: "disabled" }, envoys: 0 }));
  });
  await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
});
afterEach(async () => {
  other.close();
  await rm(folder, { recursive: true, force: true });
});

async function leaveRunFile(start: string | undefined): Promise<void> {
  const { port } = other.address() as AddressInfo;
  const file = { pid: process.pid, start, statusPort: port, envoys: [] };
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
  const { code, stderr } = await status(folder, "-o", "yaml");
  expect(code).toBe(2);
  expect(stderr).toContain("'yaml' is invalid");
  expect(asked).toHaveLength(2);
});
