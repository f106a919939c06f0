import { expect, test } from "vitest";
import { silentLogger, systemClock } from "../../src/base/index.ts";
import { UpstreamWatch } from "../../src/xds/upstream-watch.ts";

const watch = (): UpstreamWatch =>
  new UpstreamWatch({ address: "istiod:15012", log: silentLogger, clock: systemClock });
const UNAVAILABLE = { code: 14, details: "gone" };

test("when the stream of a next Envoy fails, the one that serves on counts again", () => {
  const states = watch();
  states.connecting(1);
  states.connected(1, true);
  states.responded(1);
  states.connecting(2);
  states.failed(2, UNAVAILABLE);
  expect(states.state.kind).toBe("responding");
  expect(states.describeTrouble()).toBeUndefined();
  states.failed(1, UNAVAILABLE);
  expect(states.state.kind).toBe("failed");
});

test("a stream that was displaced does not come back", () => {
  const states = watch();
  states.connecting(1);
  states.responded(1);
  states.connecting(2);
  states.ended(1);
  states.failed(2, UNAVAILABLE);
  expect(states.state.kind).toBe("failed");
});

test("attempts of one Envoy after another are counted on", () => {
  const states = watch();
  for (const id of [1, 2, 3]) {
    states.connecting(id);
    states.failed(id, UNAVAILABLE);
  }
  expect(states.state).toMatchObject({ kind: "failed", failure: { attempts: 3 } });
});
