import { existsSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startApplication } from "../../src/application/index.ts";
import { parseTerminal } from "../../src/application/terminal.ts";
import { findSetpriv, makeTemporaryFolder, temporaryPlace } from "../../src/host/index.ts";
import { run, runtimes, start } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";
import { startVictim } from "./rig.ts";
import { asRoot, STRANGER } from "./users.ts";

const hasScript = process.platform === "linux" && existsSync("/usr/bin/script");
if (!hasScript) console.log("There is no script(1) here: Envoy under a terminal is not tried");

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-untried-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test.skipIf(!asRoot)("hostile untried: TMPDIR of another user is refused: nothing is made there", async () => {
  await chown(folder, STRANGER, STRANGER);
  for (const mode of [0o700, 0o1777]) {
    await chmod(folder, mode);
    const place = temporaryPlace({ env: { TMPDIR: folder }, cwd: "/" });
    await expect(makeTemporaryFolder(place, "pilotboat-")).rejects.toMatchObject({
      code: "UNTRUSTED_PATH",
      message: `Cannot rely on "${folder}": it is TMPDIR and belongs to uid ${STRANGER}`,
    });
  }
  expect(await readdir(folder)).toEqual([]);
});

describe.each(runtimes())("on $name", (runtime) => {
  test.skipIf(!asRoot)("hostile untried: up does not run in another user's TMPDIR", async () => {
    await chown(folder, STRANGER, STRANGER);
    await chmod(folder, 0o777);
    const { code, stderr } = await run(runtime, ["up"], { env: { TMPDIR: folder }, cwd: folder });
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("UNTRUSTED_PATH") });
    expect(await readdir(folder)).toEqual([]);
  });

  test("hostile untried: a mesh file that names port 15010 is obeyed, and says that the token goes unencrypted", async () => {
    await using sandbox = await createSandbox(runtime);
    await using plane = await sandbox.startControlPlane();
    expect(plane.pid).toBeGreaterThan(0);
    const { PROXY_CONFIG = "", ...env } = await sandbox.proxyEnvironment({});
    const { discoveryAddress: _named, ...others } = JSON.parse(PROXY_CONFIG);
    env.PROXY_CONFIG = JSON.stringify(others);
    await mkdir(join(sandbox.folder, "etc/istio/config"), { recursive: true });
    const mesh = "defaultConfig:\n  discoveryAddress: 127.0.0.1:15010\n  controlPlaneAuthPolicy: NONE\n";
    await writeFile(join(sandbox.folder, "etc/istio/config/mesh"), mesh);
    await using agent = start(runtime, ["proxy", "sidecar"], { cwd: sandbox.folder, env });
    await agent.waitFor(/the CA is asked without TLS, and the token goes unencrypted/);
    await agent.waitFor(/the control plane is asked without TLS, and the token goes unencrypted/);
  });

  test.skipIf(!hasScript)("hostile untried: Envoy has no terminal that it could type into (TIOCSTI)", async () => {
    const inTerminal = ["sh", "-c", 'exec script -qefc "$*" /dev/null', "sh", ...runtime.command];
    await using victim = await startVictim({ name: runtime.name, command: inTerminal });
    const report = JSON.parse((await victim.ask("/debug/agent")).text) as { envoy: { child: { pid: number } } };
    const { pid } = report.envoy.child;
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    expect(parseTerminal(stat)).toBe("none");
    const files = await readdir(`/proc/${pid}/fd`);
    const targets = await Promise.all(files.map((file) => readlink(`/proc/${pid}/fd/${file}`).catch(() => "")));
    expect(targets.filter((target) => /^\/dev\/(pts|tty|ptmx)/.test(target))).toEqual([]);
  });
});

test("hostile untried: what looks like an option is the application's name and its arguments, and nobody else's", async () => {
  const setpriv = await findSetpriv(process.env.PATH);
  const file = join(folder, "--reuid=0");
  await writeFile(file, `#!/bin/sh\nprintf '%s\\n' "$0" "$@" > "${folder}/seen"\n`, { mode: 0o755 });
  const args = ["--pdeathsig", "TERM", "--", "; id", "$(id)"];
  for (const way of [setpriv, undefined]) {
    const application = await startApplication({ file, args, cwd: folder, env: process.env, setpriv: way });
    expect(await application.ended).toEqual({ kind: "code", code: 0 });
    expect(await readFile(join(folder, "seen"), "utf8")).toBe(`${[file, ...args].join("\n")}\n`);
  }
});
