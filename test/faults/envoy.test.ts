import { chmod, open, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import type { RunningCommand } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { fault, type Seen, timed } from "./fault.ts";
import { envoyOf, openFiles, type Rig, startRig } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig[Symbol.asyncDispose]());
afterEach(() => expect(rig.leftovers()).toEqual([]));

describe("an executable that does not run", () => {
  const START_LIMIT_MS = 5_000;

  const refused = async (binaryPath: string, says: RegExp): Promise<Seen> => {
    await using agent = await rig.startProxy({ proxyConfig: { binaryPath } });
    const { ms, result } = await timed(agent.ended);
    expect(agent.stderr()).toContain(`"${binaryPath}"`);
    expect(agent.stderr()).toMatch(says);
    expect(ms).toBeLessThan(START_LIMIT_MS);
    return { exit: result.code, seen: `ended after ${ms} ms` };
  };

  const inPlaceOfEnvoy = async (content: Uint8Array | string, mode: number): Promise<string> => {
    const path = join(rig.sandbox.folder, "other-envoy");
    await writeFile(path, content);
    await chmod(path, mode);
    return path;
  };

  fault("Envoy is missing", () => refused("/no/such/envoy", /\[ENVOY_NOT_FOUND\]\n {2}hint: /));

  fault("Envoy is not executable", async () =>
    refused(await inPlaceOfEnvoy("", 0o644), /not executable.*\[ENVOY_NOT_EXECUTABLE\]\n {2}hint: /),
  );

  fault("Envoy is built for another machine", async () => {
    const header = await firstBytes(await realEnvoy(), 4_096);
    header.writeUInt16LE(process.arch === "x64" ? 183 : 62, 18); // e_machine: AArch64, or x86-64
    return refused(await inPlaceOfEnvoy(header, 0o755), /built for .*\[ENVOY_NOT_EXECUTABLE\]\n {2}hint: /);
  });

  fault("Envoy is a file of something else", async () =>
    refused(await inPlaceOfEnvoy("PK\x03\x04 some archive", 0o755), /\[ENVOY_NOT_EXECUTABLE\]\n {2}hint: /),
  );
});

describe("an end right at the start", () => {
  const endsItself = async (agent: RunningCommand, says: RegExp): Promise<Seen> => {
    const { ms, result } = await timed(agent.ended);
    expect(`${agent.stdout()}${agent.stderr()}`).toMatch(says);
    return { exit: result.code, seen: `ended after ${ms} ms` };
  };

  fault("Envoy exits with 0 at once", async () => {
    await using agent = await rig.startWithFake("exit-0");
    return await endsItself(agent, /Envoy has exited.*exit status 0/);
  });

  fault("Envoy exits with 3 at once", async () => {
    await using agent = await rig.startWithFake("exit-3");
    const seen = await endsItself(agent, /Error: Envoy could not start: exit status 3 \[ENVOY_ENDED\]/);
    expect(agent.stdout()).toMatch(/\terror\tEnvoy could not start: exit status 3\tcode=ENVOY_ENDED\n/); // reality 14
    return seen;
  });

  fault("Envoy refuses its configuration", async () => {
    const customConfigFile = join(rig.sandbox.folder, "refused.json");
    await writeFile(customConfigFile, '{"static_resources": 5}');
    await using agent = await rig.startProxy({ proxyConfig: { customConfigFile } });
    const seen = await endsItself(agent, /Error: Envoy could not start: exit status 1: .*static_resources/);
    expect(await readFile(customConfigFile, "utf8")).toContain("static_resources"); // it is the user's
    return seen;
  });

  fault("Envoy's admin port is taken", async () => {
    const { admin } = rig.sandbox.ports;
    const taken = createServer();
    await new Promise<void>((done) => taken.listen(admin, "127.0.0.1", done));
    await using agent = await rig.startProxy();
    const seen = await endsItself(
      agent,
      new RegExp(`Error: .*127\\.0\\.0\\.1:${admin}.*\\n {2}hint: .*proxyAdminPort`),
    );
    taken.close();
    return seen;
  });
});

describe("an end while it serves", () => {
  const dies = async (signal: NodeJS.Signals, says: RegExp): Promise<Seen> => {
    await using serving = await rig.startServing();
    process.kill(serving.envoyPid, signal);
    const { ms, result } = await timed(serving.agent.ended);
    expect(`${serving.agent.stdout()}${serving.agent.stderr()}`).toMatch(says);
    expect(await rig.request()).toBe("ECONNREFUSED");
    return { exit: result.code, seen: `ended ${ms} ms later` };
  };

  fault("Envoy is killed", () =>
    dies("SIGKILL", /Envoy crashed: signal: killed after [\s\S]*signal: killed \[ENVOY_ENDED\]/),
  );
  fault("Envoy crashes", () => dies("SIGSEGV", /Error: .*signal: segmentation fault(?!.*#\d).* \[ENVOY_ENDED\]/));

  fault("Envoy is ended by somebody else", async () => {
    await using serving = await rig.startServing();
    process.kill(serving.envoyPid, "SIGTERM");
    const { ms, result } = await timed(serving.agent.ended);
    return { exit: result.code, seen: `ended ${ms} ms later` };
  });

  fault("Envoy crashes three times, with restarts on", async () => {
    const CRASHES = 3;
    await using serving = await rig.startServing({ args: ["--restart", "on-failure"] });
    const { agent } = serving;
    const filesBefore = openFiles(agent.pid);
    const gaps: number[] = [];
    for (let pid = serving.envoyPid, crash = 0; crash < CRASHES; crash++) {
      process.kill(pid, "SIGSEGV");
      await expect.poll(() => isAlive(pid), { interval: 5 }).toBe(false);
      const back = timed(Promise.resolve(expect.poll(() => rig.request(), { interval: 10 }).toBe(200)));
      await expect.poll(async () => (await rig.readiness()).status, { interval: 5 }).toBe(503);
      gaps.push((await back).ms);
      pid = envoyOf(agent.pid);
    }
    await expect.poll(async () => (await rig.readiness()).status).toBe(200);
    await expect.poll(() => openFiles(agent.pid)).toBeLessThanOrEqual(filesBefore);
    agent.kill("SIGTERM");
    const { code } = await agent.ended;
    return { exit: code, seen: `requests answered again after ${gaps.join(", ")} ms; no open file more than before` };
  });

  fault(
    "Envoy is killed while the control plane is away, with restarts on and the last-good configuration kept",
    async () => {
      const env = { PILOTBOAT_LAST_GOOD: "true" };
      await using serving = await rig.startServing({ args: ["--restart", "on-failure"], env });
      const { agent, envoyPid } = serving;
      let backMs = 0;
      await rig.withoutControlPlane(async () => {
        process.kill(envoyPid, "SIGKILL");
        await expect.poll(() => isAlive(envoyPid), { interval: 5 }).toBe(false);
        const back = timed(Promise.resolve(expect.poll(() => rig.request(), { interval: 10 }).toBe(200)));
        backMs = (await back).ms;
        const stale = { status: 200, reason: expect.stringMatching(/^stale: .*ECONNREFUSED/) };
        await expect.poll(() => rig.readiness()).toMatchObject(stale);
      });
      await expect.poll(() => rig.readiness(), { timeout: 30_000 }).toEqual({ status: 200, reason: "" });
      expect(await rig.request()).toBe(200);
      agent.kill("SIGTERM");
      const { code } = await agent.ended;
      return { exit: code, seen: `requests answered again after ${backMs} ms; no longer stale once it was back` };
    },
  );

  fault("Envoy crashes at every start, with restarts on", async () => {
    await using agent = await rig.startWithFake("crashes", { args: ["--restart", "on-failure"] });
    await agent.waitFor(/Restarting Envoy.*attempt=4/);
    agent.kill("SIGTERM");
    const { ms, result } = await timed(agent.ended);
    const waits = [...agent.stdout().matchAll(/Restarting Envoy.*waitMs=(\d+)/g)].map(([, wait]) => Number(wait));
    expect(waits.at(-1)).toBeGreaterThan(2 * (waits[0] ?? 0)); // each may be 10 % off
    return { exit: result.code, seen: `waits of ${waits.join(", ")} ms; SIGTERM in between ended it in ${ms} ms` };
  });
});

describe("an Envoy that does not do as it should", () => {
  const TERM_TO_KILL_MS = 2_000;

  fault("Envoy ignores SIGTERM", async () => {
    await using agent = await rig.startWithFake("deaf");
    await agent.waitFor(/Start: .*ready/);
    agent.kill("SIGTERM");
    const { ms, result } = await timed(agent.ended);
    expect(ms).toBeGreaterThan(TERM_TO_KILL_MS);
    expect(agent.stdout()).toMatch(/Killing Envoy/);
    return { exit: result.code, seen: `killed, ended after ${ms} ms` };
  });

  fault("Envoy freezes for a while", async () => {
    await using serving = await rig.startServing();
    process.kill(serving.envoyPid, "SIGSTOP");
    expect(await rig.request()).toBe("TimeoutError");
    expect((await rig.readiness()).status).toBe(200); // of the agent; a probe at ENVOY_STATUS_PORT hangs with Envoy
    process.kill(serving.envoyPid, "SIGCONT");
    const { ms } = await timed(Promise.resolve(expect.poll(() => rig.request(), { interval: 5 }).toBe(200)));
    serving.agent.kill("SIGTERM");
    return { exit: (await serving.agent.ended).code, seen: `requests answered ${ms} ms after it went on` };
  });

  fault("Envoy is frozen when the agent gets a stop signal", async () => {
    await using serving = await rig.startServing({ proxyConfig: { terminationDrainDuration: "60s" } });
    process.kill(serving.envoyPid, "SIGSTOP");
    serving.agent.kill("SIGTERM");
    await serving.agent.waitFor(/Stopping: /);
    expect((await rig.readiness()).reason).toMatch(/server is terminated/);
    serving.agent.kill("SIGTERM");
    const { ms, result } = await timed(serving.agent.ended);
    expect(isAlive(serving.envoyPid)).toBe(false);
    expect(ms).toBeLessThan(TERM_TO_KILL_MS + 500);
    return { exit: result.code, seen: `killed, ended ${ms} ms after the second signal` };
  });

  fault("Envoy is slow to get ready", async () => {
    await using agent = await rig.startWithFake("slow");
    await expect.poll(async () => (await rig.readiness()).reason).toMatch(/config not received from XDS server/);
    await agent.waitFor(/Start: .*ready/);
    expect((await rig.readiness()).status).toBe(200);
    agent.kill("SIGTERM");
    return { exit: (await agent.ended).code, seen: "503 with the reason, then 200" };
  });

  fault("Envoy never gets ready", async () => {
    await using agent = await rig.startWithFake("never-ready");
    await expect.poll(async () => (await rig.readiness()).reason).toMatch(/config not received from XDS server/);
    agent.kill("SIGTERM");
    const { ms, result } = await timed(agent.ended);
    return { exit: result.code, seen: `503 with the reason; SIGTERM ended it in ${ms} ms` };
  });

  fault("Envoy closes its stdout and stderr", async () => {
    await using agent = await rig.startWithFake("mute");
    await agent.waitFor(/Start: .*ready/);
    expect((await rig.readiness()).status).toBe(200);
    agent.kill("SIGTERM");
    const { ms, result } = await timed(agent.ended);
    return { exit: result.code, seen: `serves on; SIGTERM ended it in ${ms} ms` };
  });
});

async function firstBytes(path: string, count: number): Promise<Buffer> {
  const file = await open(path);
  try {
    return (await file.read(Buffer.alloc(count), 0, count, 0)).buffer;
  } finally {
    await file.close();
  }
}
