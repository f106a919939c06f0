import { expect, test } from "vitest";
import { createLogger, type LogLevel, Secret } from "../../src/base/index.ts";
import type { LogOptions } from "../../src/base/log.ts";

function linesOf(options: Omit<LogOptions, "write">, use: (log: ReturnType<typeof createLogger>) => void): string[] {
  const lines: string[] = [];
  use(createLogger({ ...options, write: (line) => lines.push(line) }));
  return lines;
}

test("text lines are time, level and message separated by tabs", () => {
  const [line] = linesOf({}, (log) => log.info("hello"));
  expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\tinfo\thello\n$/);
});

test("the scope is a column, fields follow the message", () => {
  const [line] = linesOf({}, (log) => log.scope("sds").warn("m", { foo: "bar", baz: 123, qux: 0.123 }));
  expect(line?.split("\t").slice(1)).toEqual(["warn", "sds", "m", "foo=bar baz=123 qux=0.123\n"]);
});

test("JSON lines keep the order level, time, scope, caller, msg, fields, stack", () => {
  const everything: Omit<LogOptions, "write"> = {
    asJson: true,
    callers: new Set(["all"]),
    stackLevels: new Map<string, LogLevel>([["x", "debug"]]),
  };
  const [line] = linesOf(everything, (log) => log.scope("x").info("m", { a: 1 }));
  expect(Object.keys(JSON.parse(line ?? ""))).toEqual(["level", "time", "scope", "caller", "msg", "a", "stack"]);
  expect(JSON.parse(line ?? "").caller).toMatch(/^base\/log\.test\.ts:\d+$/);
});

test("levels hold by scope, and none silences", () => {
  const levels = new Map<string, LogLevel>([
    ["default", "error"],
    ["loud", "debug"],
    ["grpc", "none"],
  ]);
  const lines = linesOf({ levels }, (log) => {
    log.warn("hidden");
    log.scope("loud").debug("shown");
    log.scope("grpc").error("hidden");
    log.scope("other").debug("hidden");
    log.scope("other").info("shown");
  });
  expect(lines).toHaveLength(2);
});

test("secrets print hidden in both formats", () => {
  for (const asJson of [false, true]) {
    const [line] = linesOf({ asJson }, (log) =>
      log.info("m", { token: new Secret("s3cr3t"), deep: { k: new Secret("s3cr3t") } }),
    );
    expect(line).not.toContain("s3cr3t");
  }
});
