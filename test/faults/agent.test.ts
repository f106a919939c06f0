import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { RunningCommand } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { fault, timed } from "./fault.ts";
import { type Rig, startRig } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig[Symbol.asyncDispose]());
afterEach(() => expect(rig.leftovers()).toEqual([]));

const WELL_UNDER_DRAIN_MS = 2_500;
const LONG_DRAIN = { proxyConfig: { terminationDrainDuration: "60s" } };

fault("the agent is killed", async () => {
  await using serving = await rig.startServing();
  serving.agent.kill("SIGKILL");
  const { signal } = await serving.agent.ended;
  const { ms } = await timed(
    Promise.resolve(expect.poll(() => isAlive(serving.envoyPid), { interval: 1 }).toBe(false)),
  );
  expect(await rig.request()).toBe("ECONNREFUSED");
  // what lies in the folder now is no obstacle to the next start, and goes with its end
  await using next = await rig.startServing();
  next.agent.kill("SIGTERM");
  expect((await next.agent.ended).code).toBe(0);
  return { exit: signal, seen: `Envoy was gone within ${ms} ms; the next start in the same folder served` };
});

/** When the agent wrote the line with this phrase. */
function loggedAt(agent: RunningCommand, phrase: string): number {
  const line = agent
    .stdout()
    .split("\n")
    .find((text) => text.includes(phrase));
  return Date.parse(line?.split("\t")[0] ?? "");
}

const MOMENTS = [/Version/, /Envoy command/, /Opening status port/, /Starting SDS server/, /generated new workload/];

fault("the agent gets a stop signal at any step of its start", async () => {
  const times: number[] = [];
  const codes = new Set<number | null>();
  for (const moment of MOMENTS) {
    await using agent = await rig.startProxy(LONG_DRAIN);
    await agent.waitFor(moment);
    agent.kill("SIGTERM");
    await Promise.race([agent.ended, agent.waitFor(/Stopping: /).catch(() => undefined)]);
    if (rig.leftovers().length > 0) agent.kill("SIGTERM"); // Envoy was there already: not to wait for the drain
    const { ms, result } = await timed(agent.ended);
    times.push(ms);
    codes.add(result.code);
    expect(rig.leftovers()).toEqual([]);
  }
  expect(codes.size).toBe(1);
  return { exit: [...codes][0] ?? null, seen: `${times.length} steps, ended after ${times.join(", ")} ms` };
});

fault("the agent gets a stop signal at any millisecond of its start", async () => {
  const codes = new Set<number | string | null>();
  const moments = [80, 110, 140, 170, 200, 230, 260, 300];
  for (const waitMs of moments) {
    await using agent = await rig.startProxy();
    await new Promise((done) => setTimeout(done, waitMs)); // the moment is the subject
    agent.kill("SIGTERM");
    const { code, signal } = await agent.ended;
    // nothing was started yet where the signal was not even listened for
    codes.add(signal === "SIGTERM" && agent.stdout() === "" ? 0 : (code ?? signal));
    expect(rig.leftovers()).toEqual([]);
  }
  expect([...codes]).toEqual([0]);
  return { exit: 0, seen: `after ${moments.join(", ")} ms: nothing stayed behind` };
});

fault("the agent gets a stop signal a second time", async () => {
  await using serving = await rig.startServing(LONG_DRAIN);
  serving.agent.kill("SIGTERM");
  await serving.agent.waitFor(/Stopping: /);
  expect(await rig.request()).toBe(200);
  serving.agent.kill("SIGTERM");
  const { ms, result } = await timed(serving.agent.ended);
  expect(ms).toBeLessThan(WELL_UNDER_DRAIN_MS);
  return { exit: result.code, seen: `a drain of 60 s ended ${ms} ms after the second signal` };
});

fault("the agent gets a stop signal a third time", async () => {
  await using agent = await rig.startWithFake("deaf", LONG_DRAIN);
  await agent.waitFor(/Start: .*ready/);
  agent.kill("SIGTERM");
  await agent.waitFor(/Stopping: /);
  agent.kill("SIGINT");
  await agent.waitFor(/Ending Envoy/);
  agent.kill("SIGTERM");
  const { ms, result } = await timed(agent.ended);
  const patienceMs = loggedAt(agent, "Killing Envoy") - loggedAt(agent, "Ending Envoy");
  expect(patienceMs).toBeLessThan(2_000); // after that SIGKILL comes without a third signal
  return { exit: result.code, seen: `an Envoy deaf to SIGTERM was killed, ended after ${ms} ms` };
});

fault("the agent gets a stop signal while it serves", async () => {
  const REQUESTS = 100;
  await using serving = await rig.startServing(LONG_DRAIN);
  serving.agent.kill("SIGTERM");
  await serving.agent.waitFor(/Stopping: /);
  expect(await rig.readiness()).toMatchObject({ status: 503, reason: expect.stringMatching(/server is terminated/) });
  for (let sent = 0; sent < REQUESTS; sent++) expect(await rig.request()).toBe(200);
  serving.agent.kill("SIGTERM");
  return { exit: (await serving.agent.ended).code, seen: `${REQUESTS} requests of the drain answered, readiness 503` };
});

fault("the agent gets SIGHUP", async () => {
  await using serving = await rig.startServing();
  serving.agent.kill("SIGHUP");
  const { ms, result } = await timed(serving.agent.ended);
  return { exit: result.code, seen: `ended after ${ms} ms` };
});

fault("the agent is frozen for a while", async () => {
  await using serving = await rig.startServing();
  serving.agent.kill("SIGSTOP");
  expect(await rig.request()).toBe(200);
  expect((await rig.readiness()).reason).toBe("TimeoutError");
  serving.agent.kill("SIGCONT");
  await expect.poll(async () => (await rig.readiness()).status).toBe(200);
  serving.agent.kill("SIGTERM");
  return {
    exit: (await serving.agent.ended).code,
    seen: "requests answered all the time, its status port again after it",
  };
});

fault("another agent is started in the same folder", async () => {
  await using serving = await rig.startServing();
  await using second = await rig.startProxy();
  const { code } = await second.ended;
  expect(second.stderr()).toMatch(/\[RUN_FOLDER_IN_USE\]/);
  expect(await rig.request()).toBe(200);
  serving.agent.kill("SIGTERM");
  expect((await serving.agent.ended).code).toBe(0);
  return { exit: code, seen: "the second one ended, the first one answered on" };
});

fault("the status port is taken", async () => {
  const { status } = rig.sandbox.ports;
  const taken = createServer();
  await new Promise<void>((done) => taken.listen(status, "::", done));
  await using agent = await rig.startProxy();
  const { ms, result } = await timed(agent.ended);
  taken.close();
  expect(agent.stderr()).toMatch(new RegExp(`:${status}": in use`));
  return { exit: result.code, seen: `ended after ${ms} ms` };
});

fault("the files of the run folder are removed while it runs", async () => {
  await using serving = await rig.startServing();
  for (const name of ["etc", "var/run/secrets/workload-spiffe-uds"]) {
    await rm(join(rig.sandbox.folder, name), { recursive: true });
  }
  expect(await rig.request()).toBe(200);
  expect((await rig.readiness()).status).toBe(200);
  serving.agent.kill("SIGTERM");
  const { ms, result } = await timed(serving.agent.ended);
  return { exit: result.code, seen: `serves on; SIGTERM ended it in ${ms} ms` };
});

fault("the run folder itself is moved away while it runs", async () => {
  const { folder } = rig.sandbox;
  await using serving = await rig.startServing();
  await rename(folder, `${folder}-moved`);
  expect(await rig.request()).toBe(200);
  expect((await rig.readiness()).status).toBe(200);
  serving.agent.kill("SIGTERM");
  const { ms, result } = await timed(serving.agent.ended);
  expect(existsSync(folder)).toBe(false);
  await rename(`${folder}-moved`, folder);
  await using next = await rig.startServing(); // takes away what was moved
  next.agent.kill("SIGTERM");
  expect((await next.agent.ended).code).toBe(0);
  return { exit: result.code, seen: `serves on; SIGTERM ended it in ${ms} ms; later a start in the folder served` };
});
