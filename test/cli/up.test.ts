import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bindTcp } from "../../src/base/index.ts";
import { createMeshNews } from "../../src/cli/up-news.ts";
import { runInProcess } from "../support/run-cli.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-up-cli-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const cli = (...args: readonly string[]) => runInProcess(args, { cwd: folder, env: {} });

test.each([
  [["--port", "abc"], 'Cannot use --port "abc", wanted 0 to 65535 [USAGE]'],
  [["--port", "99999"], 'Cannot use --port "99999", wanted 0 to 65535 [USAGE]'],
  [["--app-port", "0"], 'Cannot use --app-port "0", wanted 1 to 65535 [USAGE]'],
  [["--app-port", "x"], 'Cannot use --app-port "x", wanted 1 to 65535 [USAGE]'],
  [["nosuch"], 'nosuch" (the folder of resources) [USAGE]'],
])("up %j is a mistyped command line", async (args, message) => {
  const { code, stdout, stderr } = await cli("up", ...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(message);
});

test.each([
  ["run", "--local", "--resources", "nosuch", "--", "true"],
  ["control-plane", "--dir", "nosuch"],
  ["config", "--proxy-config", "nosuch"],
  ["bootstrap", "diff", "nosuch", "nosuch"],
])("what is named and not there ends with 2: %s %s %s", async (...args) => {
  const { code, stdout, stderr } = await cli(...args.filter((word) => word !== undefined));
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain("nosuch");
});

test("a taken port is told at once, with the flag", async () => {
  await using taken = await bindTcp("127.0.0.1", 0);
  const { code, stderr } = await cli("up", "--port", String(taken.port));
  expect(code).toBe(1);
  expect(stderr).toMatch(/\[ADDRESS_IN_USE\]\n {2}hint: .*--port/);
});

test("the port of the control plane's example service is named with what changes it", async () => {
  await using taken = await bindTcp("127.0.0.1", 0);
  const words = ["--dir", folder, "--port", "0", "--with-service", "--set", `APP_PORT=${taken.port}`];
  const { code, stderr } = await cli("control-plane", ...words);
  expect(code).toBe(1);
  expect(stderr).toMatch(/example service on port \d+: in use .*\[ADDRESS_IN_USE\]\n {2}hint: .*--set APP_PORT=N/);
});

test.each(["ls", "true"])("%s is said to be no Envoy, whatever code it ends with", async (name) => {
  const { code, stderr } = await runInProcess(["up", "--envoy", `/bin/${name}`], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder },
  });
  expect(code).toBe(1);
  expect(stderr).toContain(`Error: Cannot run "/bin/${name}" as Envoy: it exited at once`);
  expect(stderr).toMatch(/\[ENVOY_NOT_EXECUTABLE\]\n {2}hint: Is this an Envoy\?/);
});

describe("what is told of the resources", () => {
  const read = (isAgain: boolean, ...listeners: { name: string; port: number }[]) =>
    ({ kind: "read", isAgain, listeners, names: [] }) as const;

  test("the target is the listener outbound, else the one on the chosen port; a change of it is told", () => {
    const lines: string[] = [];
    const news = createMeshNews((line) => void lines.push(line));
    news.onNews(read(false, { name: "mine", port: 7 }, { name: "outbound", port: 8 }));
    expect(news.target(7)).toBe(8);
    news.onNews(read(true, { name: "mine", port: 7 }));
    news.onNews(read(true, { name: "mine", port: 7 }));
    news.onNews(read(true, { name: "mine", port: 9 }));
    expect(lines.map((line) => line.split(":")[0])).toEqual([
      "files read again; sending changes to Envoy",
      "the listener has another port now",
      "files read again; sending changes to Envoy",
      "files read again; sending changes to Envoy",
      "Nothing to try",
    ]);
    expect(lines[1]).toContain("curl http://127.0.0.1:7/hello");
  });

  test("a refusal is one line of bearable length", () => {
    const lines: string[] = [];
    const news = createMeshNews((line) => void lines.push(line));
    const typeUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
    const message = `bad:\n  ${"x".repeat(5_000)}`;
    news.onNews({ kind: "refused", rejection: { nodeId: "n", typeUrl, message } });
    expect(lines).toEqual([
      expect.stringMatching(/^Envoy refused a Listener and keeps what it has: bad: x+… \(\d+ more/),
    ]);
    expect(lines[0]?.length).toBeLessThan(500);
  });
});
