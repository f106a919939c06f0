import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { childrenOf } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createSandbox } from "../support/sandbox.ts";

beforeAll(() => realEnvoy());

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-pid-one-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** In process namespaces of their own, as containers are: the product, or a shell that starts it, has pid 1. */
function contained({ name, command }: Runtime, init: readonly string[] = []): Runtime {
  return { name, command: ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", ...init, ...command] };
}

/** Collects every child, as tini does, but passes no signals on. */
const INIT = ["/bin/sh", "-c", '"$@" & wait $!', "sh"];

/** Leaves a process behind that ends soon, and prints what became of it. */
const APPLICATION = `
  (sh -c 'echo $$ >orphan.tmp; mv orphan.tmp orphan; exec sleep 0.2' &)
  until [ -e orphan ]; do sleep 0.02; done
  orphan=/proc/$(cat orphan)
  while grep -qs '^State:.[RS]' $orphan/status; do sleep 0.02; done
  for i in 1 2 3 4 5 6 7 8 9 10; do [ -e $orphan ] && sleep 0.1; done
  if [ -e $orphan ]; then echo zombie; else echo collected; fi`;

// a namespace takes root
describe.runIf(process.getuid?.() === 0).each(runtimes())("as pid 1 of a container, on $name", (runtime) => {
  const env = () => ({ TMPDIR: folder, HOME: process.env.HOME ?? folder });

  test("reality 41: a signal ends it in order, and Envoy with it", async () => {
    await using command = start(contained(runtime), ["up"], { cwd: folder, env: env() });
    await command.waitFor(/Ctrl-C stops everything/);
    const [pid = 0] = childrenOf(command.pid);
    process.kill(pid, "SIGTERM");
    expect(await command.ended).toEqual({ code: 0, signal: null });
    expect(command.stdout()).toContain("received signal SIGTERM: draining and ending");
  });

  test("a health check that is killed with its children leaves no zombies", async () => {
    const agent = contained(runtime);
    await using sandbox = await createSandbox(agent);
    await using _controlPlane = await sandbox.startControlPlane();
    const exec = { command: ["sh", "-c", "sleep 1000 | sleep 1000; true"] };
    const proxyConfig = { readinessProbe: { exec, timeoutSeconds: 1, periodSeconds: 1 } };
    await using command = await sandbox.startProxy({ env: { DISABLE_ENVOY: "true" }, proxyConfig });
    const late = async () => {
      const metrics = await fetch(`http://127.0.0.1:${sandbox.ports.status}/metrics`).catch(() => undefined);
      return Number(/probes_total\{result="unhealthy"\} (\d+)/.exec((await metrics?.text()) ?? "")?.[1] ?? 0);
    };
    await expect.poll(late, { timeout: 20_000 }).toBeGreaterThan(2);
    const [pid = 0] = childrenOf(command.pid);
    const zombies = childrenOf(pid).filter((child) =>
      /^State:\s+Z/m.test(readFileSync(`/proc/${child}/status`, "utf8")),
    );
    expect(zombies).toEqual([]);
  });

  test.each([
    ["stay without an init", [], "zombie\n"],
    ["are collected by an init", INIT, "collected\n"],
  ])("reality 41: orphans of the application %s, as docs/containers.md says", async (_, init, stdout) => {
    const words = ["run", "--local", "--", "sh", "-c", APPLICATION];
    const ran = await run(contained(runtime, init), words, { cwd: folder, env: env() });
    expect(ran).toMatchObject({ code: 0, stdout });
  });
});
