import { expect, test } from "vitest";
import { createLogger, silentLogger, systemClock } from "../../src/base/index.ts";
import { UpstreamWatch } from "../../src/xds/upstream-watch.ts";

const watch = (): UpstreamWatch =>
  new UpstreamWatch({ peer: "envoy", address: "istiod:15012", log: silentLogger, clock: systemClock });
const UNAVAILABLE = { code: 14, details: "gone" };

test("when the stream of a next Envoy fails, the one that serves on counts again", () => {
  const states = watch();
  states.connecting(1);
  states.connected(1, true);
  states.responded(1);
  states.connecting(2);
  states.failed(2, UNAVAILABLE);
  expect(states.state.kind).toBe("responding");
  expect(states.trouble()?.text).toBeUndefined();
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

test("a stream beside others that fails again and again is told once, and the others count", () => {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line) });
  const states = new UpstreamWatch({ peer: "client", address: "istiod:15012", log, clock: systemClock });
  states.connecting(1);
  states.responded(1);
  for (const id of [2, 3, 4]) {
    states.connecting(id);
    states.failed(id, UNAVAILABLE);
  }
  expect(states.state.kind).toBe("responding");
  expect(lines.filter((line) => line.includes("unexpected error"))).toHaveLength(1);
});

test("what one client has refused is trouble while it lives, whatever others take", () => {
  const states = new UpstreamWatch({ peer: "client", address: "istiod", log: silentLogger, clock: systemClock });
  const refused = { typeUrl: "T", message: "bad", nonce: "1", versionInfo: "" };
  for (const id of [1, 2]) {
    states.connecting(id);
    states.responded(id);
  }
  states.rejected(1, refused);
  states.accepted(2, "T");
  expect(states.trouble()?.text).toBe("gRPC client rejected T: bad");
  states.ended(1);
  expect(states.trouble()?.text).toBeUndefined();
});

test("reality 26: away, back and away again: each is told once, and a connection only once it is used", () => {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line.split("\t").slice(1, 3).join(" ").trim()) });
  const states = new UpstreamWatch({ peer: "envoy", address: "istiod:15012", log, clock: systemClock });
  const away = {
    code: 14,
    details: "connect ECONNREFUSED 10.0.0.1:15012",
  };
  const refused = { code: 16, details: "authentication failure" };
  const attempt = (id: number, how: "away" | "refused" | "works"): void => {
    states.connecting(id);
    if (how !== "away") states.connected(id, true);
    if (how === "works") states.responded(id);
    states.failed(id, how === "refused" ? refused : away);
  };
  for (const [at, how] of (["away", "away", "refused", "refused", "works", "away"] as const).entries())
    attempt(at + 1, how);
  expect(lines).toEqual([
    "warn upstream terminated with unexpected error",
    "warn upstream terminated with unexpected error",
    "info upstream XDS server responds again: istiod:15012",
    "warn upstream terminated with unexpected error",
  ]);
});

test("what is known of a failure beside the control plane's words goes with them", () => {
  const options = { peer: "envoy", address: "istiod:15011", log: silentLogger, clock: systemClock } as const;
  const states = new UpstreamWatch(options);
  states.connecting(1);
  states.failed(1, { code: 16, details: "authentication failure" }, "the token is for another audience");
  expect(states.trouble()?.text).toContain(
    "UNAUTHENTICATED: authentication failure; the token is for another audience (1 failed attempts",
  );
});

test("of several types that Envoy refuses the first counts, until it takes that one", () => {
  const states = watch();
  states.connecting(1);
  states.responded(1);
  const refused = (typeUrl: string) => states.rejected(1, { typeUrl, message: "bad", nonce: "1", versionInfo: "" });
  for (const typeUrl of ["clusters", "listeners", "clusters"]) refused(typeUrl);
  expect(states.trouble()?.text).toBe("Envoy rejected clusters: bad");
  states.accepted(1, "clusters");
  expect(states.trouble()?.text).toBe("Envoy rejected listeners: bad");
  states.accepted(1, "listeners");
  expect(states.trouble()?.text).toBeUndefined();
});
