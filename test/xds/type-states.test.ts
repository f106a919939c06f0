import { expect, test } from "vitest";
import { peekRequest, peekResponse } from "../../src/xds/peek.ts";
import { peekContents } from "../../src/xds/response-scanner.ts";
import { TypeStates } from "../../src/xds/type-states.ts";
import { CLUSTER_TYPE, LISTENER_TYPE } from "../../src/xds/types.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { any, message } from "../support/wire-messages.ts";

const BIND = "Error adding/updating listener(s) 0.0.0.0_80: cannot bind '0.0.0.0:80': Address already in use";

/** A stream of Envoy's with what it and the control plane say; the clock stands at `nowMs`. */
function follow(variant: Variant) {
  const clock = { nowMs: 1_000 };
  const states = new TypeStates(() => clock.nowMs);
  const { request, response } = variant;
  const ask = (
    stream: number,
    typeUrl: string,
    ...fields: readonly (readonly [number, string | Uint8Array])[]
  ): void => {
    const bytes = message([request.typeUrl, typeUrl], ...fields);
    states.requested(stream, peekRequest(variant, bytes), bytes, variant);
  };
  const resource = (name: string): Buffer => (variant === DELTA ? message([3, name], [2, any("T")]) : any("T"));
  return {
    clock,
    states,
    ask,
    list: () => states.list(),
    answer(stream: number, typeUrl: string, nonce: string, rejection?: string): void {
      const detail = rejection === undefined ? [] : [[request.errorDetail, message([2, rejection])] as const];
      ask(stream, typeUrl, [request.nonce, nonce], ...detail);
    },
    send(typeUrl: string, nonce: string, names: readonly string[], removed: readonly string[] = [], stream = 1): void {
      const bytes = message(
        [response.typeUrl, typeUrl],
        [response.nonce, nonce],
        [response.versionInfo, `v-${nonce}`],
        ...names.map((name) => [response.resources, resource(name)] as const),
        ...removed.map((name) => [response.removed ?? 0, name] as const),
      );
      states.sent(stream, peekResponse(variant, bytes), peekContents(variant, bytes));
    },
  };
}

test.each([SOTW, DELTA])("$name: types are those of the newest Envoy, unless it does not take over", (variant) => {
  const { states, ask, answer, send, list } = follow(variant);
  ask(1, CLUSTER_TYPE);
  send(CLUSTER_TYPE, "1", ["a", "b"]);
  answer(1, CLUSTER_TYPE, "1");
  const goBack = states.turnToNext();
  ask(2, CLUSTER_TYPE);
  ask(2, LISTENER_TYPE);
  send(CLUSTER_TYPE, "2", ["c"], [], 2);
  answer(2, CLUSTER_TYPE, "2");
  send(CLUSTER_TYPE, "3", ["d", "e", "f"]);
  answer(1, CLUSTER_TYPE, "3");
  expect(list()).toMatchObject([{ state: "SYNCED", version: "v-2", resources: 1 }, { state: "NOT SENT" }]);
  goBack();
  expect(list()).toMatchObject([{ name: "CDS", state: "SYNCED", version: "v-3" }]);
  expect(list()).toHaveLength(1);
  states.turnToNext();
  ask(3, CLUSTER_TYPE);
  expect(list()).toMatchObject([{ state: "NOT SENT", resources: 0 }]);
});

test.each([SOTW, DELTA])("$name: a type is awaited, sent, and in step once Envoy has taken it", (variant) => {
  const { ask, answer, send, list, clock } = follow(variant);
  ask(1, CLUSTER_TYPE);
  expect(list()).toEqual([{ name: "CDS", typeUrl: CLUSTER_TYPE, state: "NOT SENT", resources: 0 }]);
  send(CLUSTER_TYPE, "1", ["a", "b"]);
  expect(list()).toMatchObject([{ state: "STALE", resources: 2, sentMs: 1_000 }]);
  clock.nowMs = 1_500;
  answer(1, CLUSTER_TYPE, "1");
  expect(list()).toMatchObject([{ state: "SYNCED", version: "v-1", syncedMs: 1_500, resources: 2 }]);
});

test.each([SOTW, DELTA])("$name: a rejection has resource, version and text, until a later one is taken", (variant) => {
  const { ask, answer, send, list } = follow(variant);
  ask(1, LISTENER_TYPE);
  send(LISTENER_TYPE, "1", ["virtualInbound"]);
  answer(1, LISTENER_TYPE, "1");
  send(LISTENER_TYPE, "2", ["0.0.0.0_80"]);
  answer(1, LISTENER_TYPE, "2", BIND);
  const rejection = { version: "v-2", resource: "0.0.0.0_80", text: BIND, atMs: 1_000 };
  expect(list()).toMatchObject([{ name: "LDS", state: "REJECTED", version: "v-1", rejection }]);
  send(LISTENER_TYPE, "3", ["0.0.0.0_80"]);
  expect(list()).toMatchObject([{ state: "REJECTED" }]);
  answer(1, LISTENER_TYPE, "3");
  expect(list()).toMatchObject([{ state: "SYNCED", version: "v-3" }]);
  expect(list()[0]).not.toHaveProperty("rejection");
});

test("where Envoy's words do not name the resource, the only one that was sent is it", () => {
  const { ask, answer, send, list } = follow(DELTA);
  ask(1, "type.googleapis.com/a.b.Odd");
  send("type.googleapis.com/a.b.Odd", "1", ["one"]);
  answer(1, "type.googleapis.com/a.b.Odd", "1", "no such thing");
  expect(list()).toMatchObject([{ name: "Odd", rejection: { resource: "one", text: "no such thing" } }]);
});

test("delta: what is added, sent again and removed is counted by name", () => {
  const { ask, send, list } = follow(DELTA);
  ask(1, CLUSTER_TYPE);
  send(CLUSTER_TYPE, "1", ["a", "b", "c"]);
  send(CLUSTER_TYPE, "2", ["a", "d"], ["b", "unknown"]);
  expect(list()).toMatchObject([{ resources: 3 }]);
});

test("an Envoy that reconnects has what it says, and a new one has nothing", () => {
  const { ask, answer, send, list } = follow(DELTA);
  ask(1, CLUSTER_TYPE);
  send(CLUSTER_TYPE, "1", ["a", "b"]);
  answer(1, CLUSTER_TYPE, "1");
  ask(2, CLUSTER_TYPE, [5, message([1, "a"], [2, "v"])]);
  expect(list()).toMatchObject([{ state: "SYNCED", version: "v-1", resources: 1 }]);
  ask(3, CLUSTER_TYPE);
  expect(list()).toEqual([{ name: "CDS", typeUrl: CLUSTER_TYPE, state: "NOT SENT", resources: 0 }]);
});
