import { expect, test } from "vitest";
import { CLUSTERS_PATH, STATS_PATH } from "../../src/page/model/read-traffic.ts";
import { Observer } from "../../src/page/observer.ts";
import { trafficSections } from "../../src/page/sections/traffic-section.ts";
import { createMovableClock } from "../support/movable-clock.ts";
import { clusterStatus, dumpOf } from "./dump.ts";

const answer = (path: string): string =>
  JSON.stringify(
    path === "/config_dump"
      ? dumpOf(["a"])
      : path === CLUSTERS_PATH
        ? { cluster_statuses: [clusterStatus("a", [1, 0], [1])] }
        : { stats: [] },
  );

test("Envoy is asked while somebody looks, and after that nothing is asked and nothing is kept", async () => {
  const asked: string[] = [];
  const clock = createMovableClock();
  const get = async (path: string): Promise<string> => {
    asked.push(path);
    return answer(path);
  };
  const observer = new Observer(get, new AbortController().signal, clock);
  expect(asked).toEqual([]);
  const view = await observer.look();
  expect([...(view.topology?.clusters.keys() ?? [])]).toContain("a");
  expect(asked).toHaveLength(3);
  await clock.advance(2_000);
  await expect.poll(() => asked.length).toBe(5); // without the configuration, which has not changed
  await expect.poll(() => view.history.of("a")?.length).toBe(1);
  for (let seconds = 2; seconds < 30; seconds += 2) await clock.advance(2_000);
  const before = asked.length;
  for (let seconds = 0; seconds < 60; seconds += 2) await clock.advance(2_000);
  expect(asked).toHaveLength(before);
  expect((await observer.look()).history.of("a")).toEqual([]);
});

test("an Envoy that does not answer is a problem of the view, and what was known stays", async () => {
  const clock = createMovableClock();
  let isGone = false;
  const get = async (path: string): Promise<string> => {
    if (isGone) throw new Error("connect ECONNREFUSED");
    return answer(path);
  };
  const observer = new Observer(get, new AbortController().signal, clock);
  const view = await observer.look();
  isGone = true;
  await clock.advance(2_000);
  await expect.poll(() => view.problem).toBe("connect ECONNREFUSED");
  expect(view.topology?.clusters.has("a")).toBe(true);
});

test("a configuration that cannot be read is told, asked for rarely, and costs nothing else", async () => {
  const asked: string[] = [];
  const clock = createMovableClock();
  const get = async (path: string): Promise<string> => {
    asked.push(path);
    if (path === "/config_dump") throw new Error("longer than 16 MiB");
    return answer(path);
  };
  const observer = new Observer(get, new AbortController().signal, clock);
  const view = await observer.look();
  expect(view.problem).toBe("Cannot read Envoy's configuration: longer than 16 MiB");
  for (let seconds = 0; seconds < 8; seconds += 2) await clock.advance(2_000);
  await expect.poll(() => view.history.of("a")?.length).toBeGreaterThan(2);
  expect(asked.filter((path) => path === "/config_dump")).toHaveLength(1);
  expect(view.problem).toMatch(/longer than 16 MiB/);
});

test("one answer that takes too long does not stop the sampling", async () => {
  const asked: string[] = [];
  const clock = createMovableClock();
  let isHung = false;
  const get = async (path: string, timeoutMs: number): Promise<string> => {
    asked.push(path);
    if (!isHung) return answer(path);
    await clock.sleep(timeoutMs);
    throw new Error("no answer");
  };
  const view = await new Observer(get, new AbortController().signal, clock).look();
  isHung = true;
  await clock.advance(6_000); // two seconds of rest, four of silence
  await expect.poll(() => view.problem).toBe("no answer");
  isHung = false;
  const before = asked.length;
  await clock.advance(2_000);
  await expect.poll(() => asked.length).toBeGreaterThan(before);
  await expect.poll(() => view.problem).toBeUndefined();
});

test("a configuration that takes Envoy long does not make samples rare, and a slow sample rests no longer than a look lasts", async () => {
  const clock = createMovableClock();
  const samplesMs: number[] = [];
  let [dumpMs, sampleMs] = [1_000, 0];
  const get = async (path: string): Promise<string> => {
    if (path === CLUSTERS_PATH) samplesMs.push(clock.now());
    const ms = path === "/config_dump" ? dumpMs : sampleMs;
    if (ms > 0) await clock.sleep(ms);
    return answer(path);
  };
  const observer = new Observer(get, new AbortController().signal, clock);
  const look = observer.look();
  for (let seconds = 0; seconds < 12; seconds++) await clock.advance(1_000);
  await look;
  expect(samplesMs.length).toBeGreaterThan(3);
  [dumpMs, sampleMs] = [0, 3_000];
  const before = samplesMs.length;
  for (let seconds = 0; seconds < 24; seconds++) {
    await observer.look();
    await clock.advance(1_000);
  }
  expect(samplesMs.length).toBeGreaterThanOrEqual(before + 2);
});

test.each([CLUSTERS_PATH, STATS_PATH, "/config_dump"])(
  "what Envoy says is shown although %s cannot be read",
  async (lost) => {
    const get = async (path: string): Promise<string> => {
      if (path === lost) throw new Error("longer than 16 MiB");
      return answer(path);
    };
    const view = await new Observer(get, new AbortController().signal, createMovableClock()).look();
    expect(view.problem).toContain("longer than 16 MiB");
    expect({
      traffic: view.traffic?.has("a"),
      server: view.server !== undefined,
      topology: view.topology !== undefined,
    }).toEqual({
      traffic: lost === CLUSTERS_PATH ? undefined : true,
      server: lost !== STATS_PATH,
      topology: lost !== "/config_dump",
    });
    if (lost === CLUSTERS_PATH) return;
    const { traffic } = trafficSections(view);
    expect(traffic.text).toContain(">a<");
    if (lost === "/config_dump")
      expect(traffic.text).toMatch(/class="reason">Cannot read.*listeners <tspan class="dim">not known</);
  },
);
