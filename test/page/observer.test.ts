import { expect, test } from "vitest";
import { CLUSTERS_PATH } from "../../src/page/model/read-traffic.ts";
import { Observer } from "../../src/page/observer.ts";
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
