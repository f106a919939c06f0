import { expect, test } from "vitest";
import { createLogger } from "../../src/base/index.ts";
import { LOG_SCOPES, parseLogLevels } from "../../src/config/index.ts";
import { loggingRoute } from "../../src/status/index.ts";
import { createMovableClock } from "../support/movable-clock.ts";
import { startRig } from "./rig.ts";

async function startLogging() {
  const lines: string[] = [];
  const log = createLogger({
    write: (line) => void lines.push(line.replace(/^[^\t]*\t/, "").trimEnd()),
    levels: new Map([["sds", "warn"]]),
  });
  const { levels } = log;
  if (levels === undefined) throw new Error("no levels");
  const [clock, stop] = [createMovableClock(), new AbortController()];
  const route = loggingRoute({ levels, scopes: LOG_SCOPES, parse: parseLogLevels, log, stop: stop.signal, clock });
  const rig = await startRig({ routes: [route] });
  const ask = async (query: string, method = "POST", headers: Record<string, string> = {}) => {
    const { status, text } = await rig.call(`/debug/logging${query}`, { method, headers });
    return { status, text, scopes: status === 200 ? JSON.parse(text) : undefined };
  };
  return { log, lines, clock, rig, ask, [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose]() };
}

test("levels change by scope, also of loggers that were made before, and are as configured again after the time", async () => {
  await using logging = await startLogging();
  const { log, lines, clock, ask } = logging;
  const xds = log.scope("xdsproxy");
  xds.debug("unseen");
  expect((await ask("", "GET")).scopes).toMatchObject({ default: { level: "info" }, sds: { level: "warn" } });
  const { scopes } = await ask("?level=xdsproxy:debug,sds:error&for=10m");
  const until = new Date(clock.now() + 600_000).toISOString();
  expect(scopes).toMatchObject({
    xdsproxy: { level: "debug", configured: "info", until },
    sds: { level: "error", configured: "warn", until },
    default: { level: "info" },
  });
  xds.debug("seen");
  log.scope("sds").warn("silenced");
  expect(lines).toEqual([
    `info\tLog levels changed\tlevels=xdsproxy:debug,sds:error for=10m0s until=${until}`,
    "debug\txdsproxy\tseen",
  ]);
  await clock.advance(600_000);
  await expect.poll(() => lines.at(-1)).toBe("info\tLog levels are as configured again\tscopes=xdsproxy,sds");
  xds.debug("unseen again");
  log.scope("sds").warn("told");
  expect(lines.at(-1)).toBe("warn\tsds\ttold");
  expect((await ask("", "GET")).scopes).toMatchObject({ xdsproxy: { level: "info" }, sds: { level: "warn" } });
});

test("a later change of a scope has its own time, fifteen minutes unless said, and reset ends all at once", async () => {
  await using logging = await startLogging();
  const { log, clock, ask } = logging;
  await ask("?level=all:debug&for=1m");
  await ask("?level=debug");
  await clock.advance(60_000);
  await expect.poll(() => log.scope("sds").isEnabled("debug")).toBe(false);
  expect(log.isEnabled("debug")).toBe(true);
  const { scopes } = await ask("?reset");
  expect(scopes.default).toEqual({ level: "info" });
  expect(log.isEnabled("debug")).toBe(false);
});

test.each([
  ["", /Missing level/],
  ["?level=loud", /invalid output level 'loud'.*levels: none, fatal/],
  ["?level=a:b:c", /invalid output level format 'a:b:c'/],
  ["?level=nowhere:debug", /Unknown scope "nowhere", wanted one of ads, /],
  ["?level=debug&for=soon", /Cannot use for="soon"/],
  ["?level=debug&for=-1s", /Cannot use for="-1s"/],
  ["?level=debug&for=25h", /24h at most/],
  ["?levle=debug", /Unknown parameter "levle"/],
])("%s is refused with what is wanted, and nothing changes", async (query, text) => {
  await using logging = await startLogging();
  const answer = await logging.ask(query);
  expect(answer.status).toBe(400);
  expect(answer.text).toMatch(text);
  expect(logging.log.isEnabled("debug")).toBe(false);
  expect(logging.lines).toEqual([]);
});

test("only this machine, and no web page, may look or change", async () => {
  await using logging = await startLogging();
  for (const method of ["GET", "POST"]) {
    expect((await logging.ask("?level=debug", method, { Origin: "http://evil" })).status).toBe(403);
    expect((await logging.ask("?level=debug", method, { Host: "evil:80" })).status).toBe(403);
  }
  expect((await logging.ask("?level=debug", "PUT")).status).toBe(405);
  expect(logging.log.isEnabled("debug")).toBe(false);
});
