import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { freePorts } from "../../src/base/index.ts";
import { askVersion } from "../../src/envoy/binary/index.ts";
import { versionOf } from "../../src/envoy/version-table.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const FAKE = resolve("test/fixtures/fake-envoy");
const CALLS = [
  "GET /ready",
  "POST /drain_listeners?inboundonly&graceful",
  "POST /drain_listeners?graceful&skip_exit",
  "POST /drain_listeners?skip_exit",
];

test("the fake Envoy of the fault tests answers and ends as the real one does", async () => {
  const [real, fake] = await Promise.all([observe(await realEnvoy()), observe(FAKE)]);
  expect(fake).toEqual(real);
});

async function observe(binary: string) {
  const [port = 0] = await freePorts(1);
  const folder = await mkdtemp(join(tmpdir(), "pb-fake-"));
  const config = join(folder, "envoy.json");
  const address = { socket_address: { address: "127.0.0.1", port_value: port } };
  await writeFile(config, JSON.stringify({ admin: { address } }));
  const envoy = spawn(binary, ["-c", config, "--disable-hot-restart", "-l", "off"], { stdio: "ignore" });
  const ended = once(envoy, "exit");
  try {
    await expect.poll(() => call(port, "GET /ready").catch(() => undefined)).toEqual([200, "LIVE\n"]);
    const answers = [];
    for (const one of CALLS) answers.push([one, ...(await call(port, one))]);
    const [, info] = await call(port, "GET /server_info");
    envoy.kill("SIGTERM");
    return {
      answers,
      state: JSON.parse(info).state,
      versions: [await askVersion(binary, {}), versionOf(info)],
      end: await ended,
    };
  } finally {
    envoy.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true });
  }
}

async function call(port: number, request: string): Promise<[number, string]> {
  const [method = "", path] = request.split(" ");
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method });
  return [answer.status, await answer.text()];
}
