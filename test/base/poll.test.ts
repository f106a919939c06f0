import { expect, test } from "vitest";
import { poll } from "../../src/base/index.ts";
import { createMovableClock } from "../support/movable-clock.ts";

const never = new AbortController().signal;

test("the pace is quick for a second, then slows down to one look a second", async () => {
  const clock = createMovableClock(0);
  const looks: number[] = [];
  const polling = poll(async () => looks.push(clock.now()) > 1 && clock.now() > 20_000, { stop: never, clock });
  await clock.advance(30_000);
  expect(await polling).toBe(true);

  const waits = looks.slice(1).map((ms, at) => ms - (looks[at] ?? 0));
  expect(new Set(waits.slice(0, 100))).toEqual(new Set([10]));
  expect(Math.max(...waits)).toBeCloseTo(1_000);
  expect(waits.length).toBeLessThan(160);
});

test("what stops it ends the wait, and a failure of the look is the caller's", async () => {
  const stop = new AbortController();
  const polling = poll(async () => false, { stop: stop.signal });
  stop.abort();
  expect(await polling).toBe(false);
  await expect(poll(() => Promise.reject(new Error("odd")), { stop: never })).rejects.toThrow("odd");
});

test("what may come is looked for once a second when it does not for long", async () => {
  const clock = createMovableClock(0);
  const looks: number[] = [];
  const stop = new AbortController();
  const waiting = new AbortController().signal;
  const polling = poll(async () => looks.push(clock.now()) < 0, { stop: stop.signal, clock, soon: waiting });
  await clock.advance(60_000);
  expect(looks.length).toBeLessThan(90);
  stop.abort();
  expect(await polling).toBe(false);
});

test("looks are rare until what is awaited may come, and the next one is at once when it may", async () => {
  const clock = createMovableClock(0);
  const soon = new AbortController();
  const looks: number[] = [];
  const polling = poll(async () => looks.push(clock.now()) > 14, { stop: never, clock, soon: soon.signal });
  await clock.advance(950);
  expect(looks).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
  soon.abort();
  await clock.advance(50);
  expect(looks.slice(10)).toEqual([950, 960, 970, 980, 990]);
  expect(await polling).toBe(true);
});
