import { expect, test } from "vitest";
import type { AdminClient } from "../../../src/envoy/index.ts";
import { waitUntilLive } from "../../../src/envoy/supervisor/liveness.ts";
import { createMovableClock } from "../../support/movable-clock.ts";

/** An admin that says no until told otherwise, and counts. */
function refusingAdmin() {
  const admin = { asked: 0, isLive: false };
  const get = async (): Promise<string> => {
    admin.asked++;
    if (!admin.isLive) throw new Error("not yet");
    return "LIVE\n";
  };
  const client: AdminClient = { get, post: get };
  return { admin, client };
}

test("an Envoy that waits for its control plane is asked often at first, and once a second later", async () => {
  const { admin, client } = refusingAdmin();
  const clock = createMovableClock();
  const live = waitUntilLive(client, 0, clock, new AbortController().signal);
  await clock.advance(2_000);
  expect(admin.asked).toBeGreaterThan(20);
  await clock.advance(10_000);
  const before = admin.asked;
  await clock.advance(60_000);
  expect(admin.asked - before).toBe(60);
  admin.isLive = true;
  await clock.advance(1_000);
  expect(await live).toBe(true);
});

test("the first epoch is not asked in the 50 ms in which no Envoy can answer", async () => {
  const { admin, client } = refusingAdmin();
  const clock = createMovableClock();
  const stop = new AbortController();
  const live = waitUntilLive(client, 0, clock, stop.signal);
  await clock.advance(49);
  expect(admin.asked).toBe(0);
  await clock.advance(1);
  expect(admin.asked).toBe(1);
  stop.abort();
  expect(await live).toBe(false);
});

test("who stops the wait is told at once that it is not live", async () => {
  const { client } = refusingAdmin();
  const stop = new AbortController();
  const live = waitUntilLive(client, 0, createMovableClock(), stop.signal);
  stop.abort();
  expect(await live).toBe(false);
});
