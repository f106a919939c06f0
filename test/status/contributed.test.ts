import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { silentLogger } from "../../src/base/index.ts";
import { createReadinessBoard, type Readiness, type Route } from "../../src/status/index.ts";
import { createMovableClock } from "../support/movable-clock.ts";
import { startRig } from "./rig.ts";

const page = (path: string, body: string): Route => ({ path, access: "anyone", answer: () => ({ status: 200, body }) });

test("a path that ends with a slash answers everything below it, the longest first, and an exact one before both", async () => {
  const routes = [page("/ui/", "ui"), page("/ui/assets/", "asset"), page("/ui/assets/one", "one")];
  await using rig = await startRig({ routes });
  const answers = await Promise.all(
    ["/ui/", "/ui/a/b", "/ui/assets/x", "/ui/assets/one", "/ui/../ui/assets/x?q=1"].map(async (path) => {
      const { status, text, headers } = await rig.call(path);
      return status === 301 ? headers.location : text;
    }),
  );
  expect(answers).toEqual(["ui", "ui", "asset", "one", "/ui/assets/x?q=1"]);
  expect((await rig.call("/ui")).status).toBe(404);
});

test("a route is told its path and its query", async () => {
  const answer: Route["answer"] = ({ path, query }) => ({ status: 200, body: `${path} ${query}` });
  await using rig = await startRig({ routes: [{ path: "/p/", access: "anyone", answer }] });
  expect((await rig.call("/p/x?a=1")).text).toBe("/p/x ?a=1");
});

test("a body that goes on arrives piece by piece, and its end ends the answer", async () => {
  let more = (): void => undefined;
  const next = new Promise<void>((resolve) => {
    more = resolve;
  });
  async function* pieces() {
    yield "first\n";
    await next;
    yield "second\n";
  }
  const stream: Route = { path: "/news", access: "this machine", answer: () => ({ status: 200, body: pieces() }) };
  await using rig = await startRig({ routes: [stream] });
  const response = await fetch(`http://127.0.0.1:${rig.port}/news`, { headers: { "Accept-Encoding": "identity" } });
  const reader = response.body?.getReader();
  const read = async () => new TextDecoder().decode((await reader?.read())?.value);
  expect(await read()).toBe("first\n");
  more();
  expect(await read()).toBe("second\n");
  expect((await reader?.read())?.done).toBe(true);
});

test("two routes of one path are a mistake that the start tells", async () => {
  await expect(startRig({ routes: [page("/drain", "mine")] })).rejects.toThrow("two routes for /drain");
});

test("a change of readiness is an event, and its repetition is none", async () => {
  let reason: string | undefined = "attempt 1 failed";
  const stop = new AbortController();
  const clock = createMovableClock();
  const checks = [{ name: "one", check: () => reason }];
  const board = createReadinessBoard({ checks, stop: stop.signal, log: silentLogger, clock });
  const seen: Readiness[] = [];
  const end = board.watch((readiness) => void seen.push(readiness));
  await expect.poll(() => seen).toEqual([expect.objectContaining({ isReady: false, reason: "attempt 1 failed" })]);
  reason = "attempt 2 failed"; // the same matter
  await board.ask();
  expect(seen).toHaveLength(1);
  reason = undefined;
  await clock.advance(1_000); // nobody asks but the board itself
  await expect.poll(() => seen.at(-1)).toMatchObject({ isReady: true });
  stop.abort(new Error("SIGTERM"));
  await expect.poll(() => seen.at(-1)).toMatchObject({ isReady: false, reason: "server is terminated: SIGTERM" });
  end();
  expect(seen).toHaveLength(3);
});

test("nobody is asked for the sake of watchers that have left", async () => {
  let asked = 0;
  const clock = createMovableClock();
  const checks = [{ name: "one", check: () => void asked++ }];
  const board = createReadinessBoard({ checks, stop: new AbortController().signal, log: silentLogger, clock });
  const end = board.watch(() => undefined);
  await expect.poll(() => asked).toBe(1);
  end();
  await clock.advance(10_000);
  await sleep(0);
  expect(asked).toBe(1);
});
