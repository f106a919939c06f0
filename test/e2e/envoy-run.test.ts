import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const ENVOY_BIN = await realEnvoy();

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "pb-envoy-run-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

describe.each(runtimes())("$name", (runtime) => {
  const envoyRun = (...words: string[]) => ["envoy", "run", ...words];
  const options = () => ({ cwd, env: { ENVOY_BIN } });

  /** A configuration whose admin answers at the port. */
  async function writeConfig(): Promise<number> {
    const [port = 0] = await freePorts(1);
    const admin = `{address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}`;
    await writeFile(join(cwd, "envoy.yaml"), `node: {id: mine, cluster: c}\nadmin: ${admin}\n`);
    return port;
  }

  const isReady = async (port: number): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined);
    return (await answer?.text()) ?? "";
  };

  test("reality 33: Envoy runs with the file, its own arguments arrive, SIGTERM ends both with 0", async () => {
    const port = await writeConfig();
    const words = envoyRun("-c", "envoy.yaml", "--", "--disable-hot-restart", "--service-zone", "told", "-l", "info");
    await using command = start(runtime, words, options());
    await expect.poll(() => isReady(port), { timeout: 20_000 }).toBe("LIVE\n");
    const info = (await (await fetch(`http://127.0.0.1:${port}/server_info`)).json()) as Record<string, never>;
    expect(info).toMatchObject({ node: { id: "mine" }, command_line_options: { service_zone: "told" } });
    command.kill("SIGTERM");
    expect(await command.ended).toEqual({ code: 0, signal: null });
    expect(command.stderr()).toContain("caught ENVOY_SIGTERM");
    expect(await isReady(port)).toBe("");
  });

  test("reality 33: other signals are Envoy's, too: SIGUSR1 opens its logs again", async () => {
    const port = await writeConfig();
    const words = envoyRun("-c", "envoy.yaml", "--disable-hot-restart", "--log-level", "info");
    await using command = start(runtime, words, options());
    await expect.poll(() => isReady(port), { timeout: 20_000 }).toBe("LIVE\n");
    command.kill("SIGUSR1");
    await command.waitFor(/caught SIGUSR1/);
    command.kill("SIGHUP");
    await command.waitFor(/caught and eating SIGHUP/);
    command.kill("SIGINT");
    expect(await command.ended).toEqual({ code: 0, signal: null });
  });

  test("reality 33: Envoy's exit code is the command's, and 128 + the signal that ended it", async () => {
    await writeFile(join(cwd, "bad.yaml"), "nonsense: 1\n");
    const bad = await run(runtime, envoyRun("-c", "bad.yaml"), options());
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain("nonsense");
    await writeFile(join(cwd, "dies"), "#!/bin/sh\nkill -KILL $$\n", { mode: 0o755 });
    const killed = await run(runtime, envoyRun("--envoy", "dies", "-c", "bad.yaml"), { cwd });
    expect(killed.code).toBe(137);
    expect(killed.stderr).toBe("Envoy was stopped by SIGKILL\n");
    await writeFile(join(cwd, "seven"), '#!/bin/sh\necho "$@" >words\nexit 7\n', { mode: 0o755 });
    const own = await run(runtime, envoyRun("--envoy", "./seven", "-x", "1", "--", "a", "--", "-c"), { cwd });
    expect(own.code).toBe(7);
    expect(await readFile(join(cwd, "words"), "utf8")).toBe("-x 1 a -- -c\n");
  });

  test("reality 33: Envoy does not outlive a command that was killed", async () => {
    const port = await writeConfig();
    const words = envoyRun("-c", "envoy.yaml", "--", "--disable-hot-restart");
    await using command = start(runtime, words, options());
    await expect.poll(() => isReady(port), { timeout: 20_000 }).toBe("LIVE\n");
    command.kill("SIGKILL");
    await command.ended;
    await expect.poll(() => isReady(port)).toBe("");
  });

  test.each([
    [[], "Cannot run Envoy without a configuration"],
    [["-c", "gone.yaml"], "Cannot find the file"],
    [["-c", "."], "it is a folder"],
  ])("reality 33: %j is a mistyped command line", async (words, message) => {
    const { code, stderr } = await run(runtime, envoyRun(...words), options());
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  test("reality 33: an Envoy that is named and not there is told, with exit code 1", async () => {
    await writeConfig();
    const { code, stderr } = await run(runtime, envoyRun("--envoy", "gone", "-c", "envoy.yaml"), { cwd });
    expect(code).toBe(1);
    expect(stderr).toContain("[ENVOY_NOT_FOUND]");
  });

  test("reality 33: proxy runs a customConfigFile without any root certificate, and gets ready", async () => {
    const [admin = 0, status = 0] = await freePorts(2);
    await writeFile(
      join(cwd, "own.yaml"),
      `node: {id: mine, cluster: c}\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: ${admin}}}}\n`,
    );
    const PROXY_CONFIG = JSON.stringify({
      customConfigFile: "own.yaml",
      proxyAdminPort: admin,
      statusPort: status,
      terminationDrainDuration: "0s",
    });
    const env = { ENVOY_BIN, PROXY_CONFIG, POD_NAMESPACE: "a", GRPC_XDS_BOOTSTRAP: "", INSTANCE_IP: "127.0.0.1" };
    await using command = start(runtime, ["proxy"], { cwd, env: { ...env, CLOUD_PLATFORM: "none" } });
    await command.waitFor(/warn\t.*there is no root certificate at .*customConfigFile runs without/);
    const ready = `http://127.0.0.1:${status}/healthz/ready`;
    await expect
      .poll(
        () =>
          fetch(ready).then(
            (answer) => answer.status,
            () => 0,
          ),
        { timeout: 20_000 },
      )
      .toBe(200);
    command.kill("SIGTERM");
    expect(await command.ended).toEqual({ code: 0, signal: null });
    expect(command.stdout()).not.toContain("failed to sign CSR");
  });
});
