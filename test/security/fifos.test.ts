import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run, runtimes, start } from "../support/pilotboat.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-fifos-"));
  execFileSync("mkfifo", [join(folder, "fifo")]);
  await mkdir(join(folder, "mesh"));
  execFileSync("mkfifo", [join(folder, "mesh/a.yaml")]);
  await mkdir(join(folder, "folder"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const PROXY = { POD_NAMESPACE: "default", DISABLE_ENVOY: "true" };

describe.each(runtimes())("what is no file, on $name", (runtime) => {
  test.each<[string, readonly string[], Readonly<Record<string, string>>, RegExp]>([
    [
      "a log target that is a FIFO",
      ["proxy", "sidecar", "--log_target", "fifo"],
      PROXY,
      /FIFO or a socket without a reader/,
    ],
    ["a log target that is a folder", ["proxy", "sidecar", "--log_target", "folder"], PROXY, /FILE_UNWRITABLE/],
    ["a FIFO in --dir", ["control-plane", "--port", "0", "--dir", "mesh"], {}, /a\.yaml".*it is a FIFO/],
    ["a FIFO as --dir", ["control-plane", "--port", "0", "--dir", "fifo"], {}, /it is no folder/],
    ["a FIFO as a file to substitute in", ["config", "substitute", "fifo"], {}, /it is a FIFO without a writer/],
    ["an endless device as a file to substitute in", ["config", "substitute", "/dev/zero"], {}, /it is a device/],
    ["a FIFO as Envoy", ["envoy", "run", "--envoy", "fifo", "-c", "fifo"], {}, /it is not a file/],
    ["a FIFO as PROV_CERT", ["proxy", "sidecar"], { ...PROXY, PROV_CERT: "fifo" }, /PROV_CERT/],
    ["a FIFO as mesh file", ["proxy", "sidecar", "--meshConfig", "fifo"], PROXY, /it is a FIFO/],
  ])("hostile 10: %s is refused at once, by its kind", async (_name, words, env, told) => {
    const ran = await run(runtime, words, { cwd: folder, env });
    expect(ran.stderr + ran.stdout).toMatch(told);
    expect(ran.code).not.toBe(0);
  });

  test("hostile 10: a pipe of the shell is read, and one whose writer never ends does not hold the process", async () => {
    const quoted = runtime.command.map((word) => `'${word}'`).join(" ");
    const shell = { name: "bash", command: ["bash", "-c"] };
    const ran = await run(shell, [`${quoted} config substitute <(sleep 0.2; echo 'a: \${HOME}')`], {
      env: { HOME: "/h" },
    });
    expect(ran).toMatchObject({ code: 0, stdout: "a: /h\n" });
    await using waiting = start(shell, [
      `exec ${quoted} config substitute <(echo begun >&2; exec sleep 20 2>/dev/null)`,
    ]);
    await waiting.waitFor(/begun/);
    waiting.kill("SIGTERM");
    expect((await waiting.ended).code).not.toBe(0);
  });
});
