import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RunningCommand, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { isAlive, listeningAddresses } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";

beforeAll(() => realEnvoy());

const LOOPBACK = "0100007F"; // 127.0.0.1

let temporary: string;
beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), "pb-up-"));
});
afterEach(() => rm(temporary, { recursive: true, force: true }));

describe.each(runtimes())("pilotboat up on $name", (runtime) => {
  const up = (): RunningCommand => start(runtime, ["up"], { cwd: temporary, env: { TMPDIR: temporary } });

  test("answers a request through a mutual-TLS hop, and Ctrl-C leaves nothing", async () => {
    await using command = up();
    const { curl, status, envoyPid, folder } = await addresses(command);
    const answer = await fetch(`${curl}?from=test`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ path: "/hello?from=test" });
    expect(answer.headers.get("x-peer-uri-san")).toBe("spiffe://cluster.local/ns/default/sa/quickstart");
    expect((await fetch(status)).status).toBe(200);

    command.kill("SIGINT");
    expect(await command.ended).toEqual({ code: 0, signal: null });
    expect(isAlive(envoyPid)).toBe(false);
    expect(existsSync(folder)).toBe(false);
    expect(await readdir(temporary)).toEqual([]);
  });

  test("reality 22: an Envoy that dies is told of, with reason, evidence and the next pid, and status shows it", async () => {
    await using command = start(runtime, ["up"], {
      cwd: temporary,
      env: { TMPDIR: temporary, XDG_STATE_HOME: join(temporary, "state") },
    });
    const { curl, envoyPid, folder } = await addresses(command);
    const asked = async () => (await run(runtime, ["status", "--run-folder", folder], { cwd: temporary })).stdout;
    expect(await asked()).not.toMatch(/restarts +[1-9]|last crash/);
    process.kill(envoyPid, "SIGSEGV");
    const [, reason, evidence = ""] = await command.waitFor(
      new RegExp(`^Envoy exited: (signal: .*), pid ${envoyPid}; evidence in (\\S+); restarting it now$`, "m"),
    );
    expect(reason).toBe("signal: segmentation fault");
    expect(JSON.parse(await readFile(join(evidence, "report.json"), "utf8"))).toMatchObject({ pid: envoyPid });
    const [, next] = await command.waitFor(/^Envoy runs again, pid (\d+)$/m);
    expect(isAlive(Number(next))).toBe(true);
    await expect.poll(() => fetch(curl).then(({ status }) => status, String)).toBe(200);
    expect(await asked()).toMatch(
      new RegExp(
        `^restarts +1\\nlast crash +signal: segmentation fault, pid ${envoyPid}, \\d+s ago; evidence in ${evidence}$`,
        "m",
      ),
    );
    command.kill("SIGINT");
    expect(await command.ended).toEqual({ code: 0, signal: null });
    expect(command.stdout().match(/Envoy exited|Envoy runs again/g)).toHaveLength(2); // its orderly end is none
  });

  test("reality 24: the folder that is printed is the one whose edits Envoy follows", async () => {
    await using command = up();
    const [, resources = ""] = await command.waitFor(/^resources +(\S+) +\(watched/m);
    await addresses(command);
    const file = join(resources, "mesh.yaml");
    await writeFile(file, `${await readFile(file, "utf8")}\n# edited\n`);
    await command.waitFor(/files read again/);
  });

  test("an edited file is followed, and a mistake in it is told with its place", async () => {
    const resources = join(temporary, "mesh");
    const file = join(resources, "mesh.yaml");
    const good = await readFile("examples/quickstart/xds/mesh.yaml", "utf8");
    await mkdir(resources);
    await writeFile(file, good);
    await using command = start(runtime, ["up", resources], { cwd: temporary, env: { TMPDIR: temporary } });
    await addresses(command);
    await writeFile(file, good.replace("stat_prefix", "stat_prefx"));
    await command.waitFor(/files not used.*mesh\.yaml", line 14, column \d+: listeners\[0\].*stat_prefx/);
    const [port] = await freePorts(1);
    await writeFile(file, good.replace(/\$\{OUTBOUND_PORT.*?\}/, String(port)));
    await command.waitFor(new RegExp(`another port now: {2}curl http://127.0.0.1:${port}/hello`));
    await expect.poll(() => fetch(`http://127.0.0.1:${port}/hello`).then(({ status }) => status, String)).toBe(200);
    await writeFile(file, good.replace("name: inbound", 'name: ""'));
    await command.waitFor(/files not used.*it has no "name"/);
    await writeFile(file, good.replace(/127.0.0.1, port_value: \$\{OUTBOUND.*?\}/, "no-address, port_value: 1"));
    await command.waitFor(/Envoy refused a Listener.*no-address/);
  });

  test("a folder without listeners gets no curl line, but what is wanted", async () => {
    const resources = join(temporary, "empty");
    await mkdir(resources);
    await using command = start(runtime, ["up", resources], { cwd: temporary, env: { TMPDIR: temporary } });
    await command.waitFor(/Nothing to try[\s\S]*name: outbound/);
    expect(command.stdout()).not.toContain("curl");
  });

  test("the printed line asks the agent that runs, and the next one removes what kill -9 left", async () => {
    await using command = up();
    const { folder } = await addresses(command);
    const [, line = ""] = await command.waitFor(/pilotboat (status --run-folder .*)/);
    const asked = await run(runtime, line.split(" "), { cwd: temporary });
    expect(asked.stdout).toContain(`pid ${command.pid}`);
    expect((await run(runtime, ["status", folder], { cwd: temporary })).stdout).toContain(`pid ${command.pid}`);
    command.kill("SIGKILL");
    await command.ended;
    expect(existsSync(folder)).toBe(true);
    await using next = up();
    await addresses(next);
    expect(existsSync(folder)).toBe(false);
  });

  test.runIf(process.platform === "linux")("reality 28: agent and Envoy listen on loopback only", async () => {
    await using command = up();
    const { envoyPid } = await addresses(command);
    expect(listeningAddresses(command.pid)).toEqual([LOOPBACK]);
    expect(listeningAddresses(envoyPid)).toEqual([LOOPBACK]);
  });

  test("reality 35: the inbound side leads to a service of one's own, also to one that starts later", async () => {
    const [appPort = 0] = await freePorts(1);
    const words = ["up", "--app-port", String(appPort)];
    await using command = start(runtime, words, { cwd: temporary, env: { TMPDIR: temporary } });
    await command.waitFor(new RegExp(`service +127\\.0\\.0\\.1:${appPort}, yours; no process listens there yet`));
    const { curl } = await addresses(command);
    expect(curl).toMatch(/:\d+\/$/);
    expect((await fetch(curl)).status).toBe(503);
    await using _ = await ownService(appPort);
    const answer = await fetch(`${curl}orders`);
    expect(await answer.text()).toBe("mine: /orders");
    expect(answer.headers.get("x-peer-uri-san")).toBe("spiffe://cluster.local/ns/default/sa/quickstart");
  });

  test("reality 35: a service of one's own in a mesh of one's own", async () => {
    await using service = await ownService(0);
    const resources = join(temporary, "mesh");
    await mkdir(resources);
    await writeFile(join(resources, "mesh.yaml"), await readFile("examples/quickstart/xds/mesh.yaml", "utf8"));
    const words = ["up", resources, "--app-port", String(service.port)];
    await using command = start(runtime, words, { cwd: temporary, env: { TMPDIR: temporary } });
    const { curl } = await addresses(command);
    expect(command.stdout()).toMatch(/, yours {2,}/);
    expect(await (await fetch(curl)).text()).toBe("mine: /");
  });

  test("two of them live side by side", async () => {
    await using first = up();
    await using second = up();
    const both = await Promise.all([addresses(first), addresses(second)]);
    const answers = await Promise.all(both.map(({ curl }) => fetch(curl)));
    expect(answers.map((answer) => answer.status)).toEqual([200, 200]);
  });

  test.runIf(process.platform === "linux")("kill -9 of the agent ends Envoy too", async () => {
    await using command = up();
    const { envoyPid } = await addresses(command);
    expect(isAlive(envoyPid)).toBe(true);
    command.kill("SIGKILL");
    await command.ended;
    await expect.poll(() => isAlive(envoyPid), { timeout: 10_000 }).toBe(false);
  });
});

/** Answers every request with its path. */
async function ownService(port: number) {
  const server = createServer((request, response) => void response.end(`mine: ${request.url}`));
  await once(server.listen(port, "127.0.0.1"), "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await once(server.close(), "close");
    },
  };
}

/** What the command printed once it is ready. */
async function addresses(command: RunningCommand) {
  const [, curl = ""] = await command.waitFor(/curl (http:\S+)/);
  const [, status = ""] = await command.waitFor(/status\s+(http:\S+)/);
  const [, folder = ""] = await command.waitFor(/folder\s+(\/\S+)/);
  const [, pid = ""] = await command.waitFor(/envoy process\s+(\d+)/);
  return { curl, status, folder, envoyPid: Number(pid) };
}
