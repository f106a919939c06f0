import { execFileSync } from "node:child_process";
import { lstat, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Runtime, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";

const ROOT = "var/run/secrets/istio/root-cert.pem";
const TOKEN = "var/run/secrets/tokens/istio-token";
const { certPem } = await createTestCa();

describe.each(runtimes())("reality 6: on $name", (runtime) => {
  test.each<[string, string, Make, number, string]>([
    ["a FIFO as root", ROOT, fifo, 1, "root-cert.pem: it is a FIFO, wanted a regular file"],
    [
      "a link to nowhere as root",
      ROOT,
      (path) => symlink("gone", path),
      1,
      'it is a link to "gone", which leads to no file',
    ],
    ["a FIFO as mesh file", "etc/istio/config/mesh", fifo, 2, "it is a FIFO, wanted a regular file"],
    [
      "a device as --proxy-config",
      "pc",
      (path) => symlink("/dev/zero", path),
      2,
      "it is a device, wanted a regular file",
    ],
    [
      "a file as xDS socket",
      "etc/istio/proxy/XDS",
      (path) => writeFile(path, "mine"),
      1,
      "a regular file blocks the path",
    ],
    [
      "a link as xDS socket",
      "etc/istio/proxy/XDS",
      (path) => symlink("gone", path),
      1,
      "whose target does not exist, blocks the path",
    ],
  ])("%s ends the start at once, and stays", async (_what, place, make, code, words) => {
    const { folder, command } = await startWith(runtime, place, make);
    await using _stop = command;
    expect(await command.ended).toMatchObject({ code });
    expect(command.stderr()).toContain(words);
    await lstat(join(folder, place));
  });

  test("a FIFO as token holds up nothing, and the log says what it is", async () => {
    const { command } = await startWith(runtime, TOKEN, fifo);
    await using _stop = command;
    await command.waitFor(/Cannot read the token ".*istio-token": it is a FIFO, wanted a regular file/);
    command.kill("SIGTERM");
    expect(await command.ended).toMatchObject({ code: 0 });
  });
});

type Make = (path: string) => Promise<unknown>;

async function fifo(path: string): Promise<void> {
  execFileSync("mkfifo", [path]);
}

/** An agent without Envoy in a folder with what it needs, and one thing that should not be there. */
async function startWith(runtime: Runtime, place: string, make: Make) {
  const folder = await mkdtemp(join(tmpdir(), "pb-way-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const put = async (path: string, content: string): Promise<void> => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  };
  await put(ROOT, certPem);
  await put(TOKEN, "a.b.c");
  await mkdir(join(folder, dirname(place)), { recursive: true });
  await rm(join(folder, place), { force: true });
  await make(join(folder, place));
  const [statusPort = 0] = await freePorts(1);
  const fields = { discoveryAddress: "127.0.0.1:1", statusPort };
  const args = ["proxy", "sidecar", ...(place === "pc" ? ["--proxy-config", "pc"] : [])];
  const env = { DISABLE_ENVOY: "true", INSTANCE_IP: "127.0.0.1", PROXY_CONFIG: JSON.stringify(fields) };
  return { folder, command: start(runtime, args, { cwd: folder, env }) };
}
