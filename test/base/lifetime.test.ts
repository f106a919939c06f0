import { expect, test } from "vitest";
import { type Clock, Lifetime, systemClock } from "../../src/base/index.ts";

const part = (log: string[], name: string, failure?: Error): AsyncDisposable => ({
  async [Symbol.asyncDispose]() {
    log.push(name);
    if (failure !== undefined) throw failure;
  },
});

test("parts close last-first", async () => {
  const log: string[] = [];
  {
    await using life = new Lifetime();
    await life.own("a", part(log, "a"));
    await life.own("b", Promise.resolve(part(log, "b")));
    life.defer("c", () => void log.push("c"));
    expect(life.open).toEqual(["c", "b", "a"]);
  }
  expect(log).toEqual(["c", "b", "a"]);
});

test("a close that fails does not keep the others open, and its name is told", async () => {
  const log: string[] = [];
  const life = new Lifetime();
  await life.own("first", part(log, "first", new Error("stuck")));
  await life.own("second", part(log, "second"));
  await expect(life[Symbol.asyncDispose]()).rejects.toThrow('Cannot close "first"');
  expect(log).toEqual(["second", "first"]);
});

test("several failing closes are reported together", async () => {
  const life = new Lifetime();
  await life.own("x", part([], "x", new Error("1")));
  await life.own("y", part([], "y", new Error("2")));
  await expect(life[Symbol.asyncDispose]()).rejects.toThrow(AggregateError);
});

test("closing twice closes once", async () => {
  const log: string[] = [];
  const life = new Lifetime();
  await life.own("a", part(log, "a"));
  await Promise.all([life[Symbol.asyncDispose](), life[Symbol.asyncDispose]()]);
  expect(log).toEqual(["a"]);
});

test("a part that arrives after closing began is closed at once", async () => {
  const log: string[] = [];
  const life = new Lifetime();
  await life[Symbol.asyncDispose]();
  await expect(life.own("late", part(log, "late"))).rejects.toMatchObject({ code: "STOPPED" });
  expect(log).toEqual(["late"]);
});

test("a part that hangs is left behind at the limit and named, and the others are closed", async () => {
  const log: string[] = [];
  const life = new Lifetime({ limitMs: 20 });
  await life.own("first", part(log, "first"));
  await life.own("hanging", { [Symbol.asyncDispose]: () => new Promise<void>(() => undefined) });
  await expect(life[Symbol.asyncDispose]()).rejects.toThrow('Cannot close "hanging"');
  expect(log).toEqual(["first"]);
  expect(life.open).toEqual([]);
});

test("a clock that is set back while a part hangs takes no time from the others", async () => {
  let nowMs = 1_000_000;
  const clock: Clock = {
    now: () => nowMs,
    async sleep(ms, signal) {
      await systemClock.sleep(20, signal);
      nowMs += ms - 3_600_000;
    },
  };
  const log: string[] = [];
  const life = new Lifetime({ limitMs: 10_000, clock });
  life.defer("slow", async () => {
    await new Promise((later) => setTimeout(later));
    log.push("slow");
  });
  await life.own("hanging", { [Symbol.asyncDispose]: () => new Promise<void>(() => undefined) });
  await expect(life[Symbol.asyncDispose]()).rejects.toThrow('Cannot close "hanging"');
  expect(log).toEqual(["slow"]);
});
