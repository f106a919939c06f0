import { describe, expect, test } from "vitest";
import { DELTA, SOTW } from "../../src/proto/ads-variant.ts";
import { message } from "../support/wire-messages.ts";
import {
  askStandIn,
  CLUSTER,
  ENDPOINTS,
  everythingIn,
  LISTENER,
  makeFolder,
  NAME_TABLE,
  OWNER,
  ROUTES,
  SECRET,
  type Stream,
  servedOf,
  startRun,
} from "./rig.ts";

const PEM_KEY = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n";

describe.each([SOTW, DELTA])("$name", (variant) => {
  test("the next run serves what Envoy accepted, however the bytes were cut", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.ask(CLUSTER);
    stream.take(
      CLUSTER,
      [
        ["a", "1"],
        ["b", "x".repeat(5_000)],
      ],
      { chunkBytes: 7 },
    );
    stream.ask(LISTENER);
    stream.take(LISTENER, []);
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, variant)).toEqual({ a: "1", b: "x".repeat(5_000) });
    expect(await servedOf(folder.path, variant, LISTENER)).toEqual({});
  });

  test("nobody stands in before Envoy has accepted clusters and listeners", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.ask(CLUSTER);
    stream.take(CLUSTER, [["a", "1"]]);
    stream.ask(LISTENER);
    stream.send(LISTENER, [["l", "1"]]);
    expect(await stream.followed.standIn()).toBeUndefined();
  });

  test("what Envoy refused, or never answered, is not served", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.boot([["a", "good"]]);
    const refused = stream.send(CLUSTER, [
      ["a", "refused"],
      ["b", "refused"],
    ]);
    stream.ask(CLUSTER, { nonce: refused, version: "n1", rejection: "no such filter" });
    stream.ask(CLUSTER, { nonce: refused, version: "n1" }); // of whole states: asks again without the reason
    stream.send(CLUSTER, [["a", "unanswered"]]);
    stream.followed.close();
    await run[Symbol.asyncDispose]();
    // of a rejected change Envoy may have taken a part
    expect(await servedOf(folder.path, variant)).toEqual(variant === SOTW ? { a: "good" } : undefined);
  });

  test("a response that is accepted after a newer one changes nothing that the newer one said", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.boot([["a", "1"]]);
    const [older, newer] = [stream.send(CLUSTER, [["a", "2"]]), stream.send(CLUSTER, [["a", "3"]])];
    stream.accept(CLUSTER, newer);
    stream.accept(CLUSTER, older);
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, variant)).toEqual({ a: "3" });
  });

  test("a resource that changes back while a change is under way counts as it was accepted", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.boot([["a", "1"]]);
    const [there, back] = [stream.send(CLUSTER, [["a", "2"]]), stream.send(CLUSTER, [["a", "1"]])];
    stream.accept(CLUSTER, there);
    stream.accept(CLUSTER, back);
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, variant)).toEqual({ a: "1" });
  });

  test("a new Envoy's first response is all there is", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    run.open().boot([
      ["a", "1"],
      ["b", "1"],
    ]);
    run.open().boot([["b", "2"]]);
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, variant)).toEqual({ b: "2" });
  });

  test("of types that are asked for by name, what is asked for is kept, and nothing else once all of it is there", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.boot([["a", "1"]]);
    stream.ask(ENDPOINTS, { names: ["a", "b"] });
    stream.accept(
      ENDPOINTS,
      stream.send(ENDPOINTS, [
        ["a", "1"],
        ["b", "1"],
      ]),
      { names: ["a", "b"] },
    );
    stream.accept(ENDPOINTS, stream.send(ENDPOINTS, [["b", "2"]]), { names: ["a", "b"] });
    await run[Symbol.asyncDispose]();
    const names = ["a", "b", "unknown"];
    expect(await servedOf(folder.path, variant, ENDPOINTS, { names })).toEqual({ a: "1", b: "2" });

    await using next = startRun(folder.path, variant);
    const other = next.open();
    other.boot([["a", "1"]]);
    other.ask(ENDPOINTS, { names: ["b", "c"] });
    const first = other.send(ENDPOINTS, [["b", "3"]]);
    other.accept(ENDPOINTS, first, { names: variant === SOTW ? ["b", "c"] : [] });
    other.accept(ENDPOINTS, other.send(ENDPOINTS, [["c", "1"]]), { names: variant === SOTW ? ["b", "c"] : [] });
    await next[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, variant, ENDPOINTS, { names: ["a", "b", "c"] })).toEqual({ b: "3", c: "1" });
  });

  test("secrets and private keys never reach the disk", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.boot([["a", "1"]]);
    stream.ask(SECRET, { names: ["default"] });
    stream.take(SECRET, [["default", "TOP SECRET"]]);
    stream.take(
      CLUSTER,
      [
        ["a", "harmless"],
        ["b", PEM_KEY],
      ],
      { chunkBytes: 11 },
    );
    stream.take(LISTENER, [["l", "2"]]);
    await run[Symbol.asyncDispose]();
    expect(await everythingIn(folder.path)).not.toMatch(/TOP SECRET|PRIVATE KEY/);
    expect(await everythingIn(folder.path)).toBe(""); // it is no whole configuration any more
    expect(run.lines.join()).toMatch(/not kept for a restart.*Cluster.*resource "b" holds a private key/);
    expect(await servedOf(folder.path, variant)).toBeUndefined();
  });

  test("the agent's name table is kept", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.boot([["a", "1"]]);
    stream.ask(NAME_TABLE);
    stream.take(NAME_TABLE, [["", "table"]]);
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, variant, NAME_TABLE)).toEqual({ "": "table" });
  });

  test("another node's stream is not followed, and another node is not served", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    run.open().boot([["a", "1"]]);
    expect(() => run.open("sidecar~10.0.0.2~c.d~d.svc.cluster.local")).toThrow("not followed");
  });

  test("an Envoy of other labels, by a reload, has a log of its own, and so has the one before on the way back", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const other = { ...OWNER, others: [...OWNER.others, "other labels"] };
    run.open().boot([["a", "before"]]);
    expect([await run.lastGood.isWhole(OWNER), await run.lastGood.isWhole(other)]).toEqual([true, false]);
    const undo = run.lastGood.turnTo(other);
    run.open().boot([["a", "other"]]);
    expect(await run.lastGood.isWhole(other)).toBe(true);
    undo();
    const answers = await run.open().followed.standIn();
    expect(answers && (await askStandIn(answers, variant, CLUSTER, {}))).toEqual({ a: "before" });
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, variant)).toEqual({ a: "before" });
  });

  test("an Envoy that has a version of a type is sent nothing of it; an acknowledgement is no question", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    run.open().boot([["a", "1"]]);
    const answers = await run.open().followed.standIn();
    if (answers === undefined) throw new Error("nobody stands in");
    const has = variant === SOTW ? { version: "7" } : { initial: ["a"] };
    expect(await askStandIn(answers, variant, CLUSTER, has)).toBeUndefined();
    expect(await askStandIn(answers, variant, LISTENER)).toEqual({ l: "1" });
    expect(await askStandIn(answers, variant, LISTENER, { nonce: "last-good-1", version: "n2" })).toBeUndefined();
  });

  test("a configuration with a resource above 8 MiB is not kept", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, variant);
    const stream = run.open();
    stream.boot([["a", "1"]]);
    stream.take(CLUSTER, [["a", Buffer.alloc(9 * 2 ** 20)]]);
    await run[Symbol.asyncDispose]();
    expect(run.lines.join()).toContain("a resource has more than 8388608 bytes");
    expect(await servedOf(folder.path, variant)).toBeUndefined();
  });
});

test("delta: responses are changes, and removals are kept", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, DELTA);
  const stream = run.open();
  stream.boot([
    ["a", "1"],
    ["b", "1"],
    ["c", "1"],
  ]);
  stream.take(CLUSTER, [["b", "2"]], { removed: ["a", "never there"] });
  await run[Symbol.asyncDispose]();
  expect(await servedOf(folder.path, DELTA)).toEqual({ b: "2", c: "1" });
});

test("delta: an Envoy that reconnects goes on from what it has, where that is known", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, DELTA);
  run.open().boot([
    ["a", "1"],
    ["b", "1"],
  ]);
  const known = run.open();
  known.ask(CLUSTER, { initial: ["a"] });
  known.take(CLUSTER, [["c", "1"]]);
  await run.lastGood[Symbol.asyncDispose]();
  expect(await servedOf(folder.path, DELTA)).toEqual({ a: "1", c: "1" });
  await using next = startRun(folder.path, DELTA);
  const unknown = next.open();
  unknown.ask(CLUSTER, { initial: ["a", "of which nothing is known"] });
  unknown.take(CLUSTER, [["c", "2"]]);
  expect(await unknown.followed.standIn()).toBeUndefined();
});

describe("delta: what Envoy may have beside what it acknowledged is not passed over", () => {
  const reject = (stream: Stream, typeUrl: string, nonce: string) =>
    stream.ask(typeUrl, { nonce, rejection: "cluster b: no such filter" });

  test("of a rejected change Envoy took what was good, and the removals: nothing is served until all has come anew", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, DELTA);
    const stream = run.open();
    stream.boot([
      ["a", "1"],
      ["gone", "1"],
    ]);
    reject(stream, CLUSTER, stream.send(CLUSTER, [["b", "bad"]], { removed: ["gone"] }));
    stream.take(CLUSTER, [["a", "2"]]);
    stream.take(LISTENER, [["l", "2"]]);
    expect(await stream.followed.standIn()).toBeUndefined();
    expect(await servedOf(folder.path, DELTA)).toBeUndefined();
    const next = run.open(); // istiod sends all of it anew
    next.ask(CLUSTER, { initial: ["a"] });
    next.take(CLUSTER, [["a", "2"]], { removed: ["gone"] });
    next.ask(LISTENER, { initial: ["l"] });
    next.take(LISTENER, [["l", "2"]]);
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, DELTA)).toEqual({ a: "2" });
    expect(await servedOf(folder.path, DELTA, LISTENER)).toEqual({ l: "2" });
  });

  test("a first change that was rejected, or was never answered, makes the next one less than all", async () => {
    for (const isRejected of [true, false]) {
      await using folder = await makeFolder();
      await using run = startRun(folder.path, DELTA);
      const stream = run.open();
      stream.ask(LISTENER);
      stream.take(LISTENER, [["l", "1"]]);
      stream.ask(CLUSTER);
      const first = stream.send(CLUSTER, [["c1", "1"]]);
      if (isRejected) reject(stream, CLUSTER, first);
      const later = Array.from({ length: 17 }, (_, at) => stream.send(CLUSTER, [[`later ${at}`, "1"]]));
      for (const nonce of later) stream.accept(CLUSTER, nonce);
      expect(await stream.followed.standIn()).toBeUndefined();
    }
  });

  test("a stream that began before something was missed says nothing about all there is", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, DELTA);
    const [one, other] = [run.open(), run.open()];
    one.boot([["a", "1"]]);
    other.boot([["a", "1"]]);
    reject(one, CLUSTER, one.send(CLUSTER, [["b", "1"]]));
    other.take(CLUSTER, [["c", "1"]]);
    other.take(LISTENER, [["l", "2"]]);
    expect(await other.followed.standIn()).toBeUndefined();
  });

  test("a reconnecting Envoy's versions count", async () => {
    await using folder = await makeFolder();
    const served = async (initial: readonly [string, string][]) => {
      await using run = startRun(folder.path, DELTA);
      const stream = run.open();
      for (const [typeUrl, name] of [
        [CLUSTER, "a"],
        [LISTENER, "l"],
      ] as const) {
        stream.ask(typeUrl);
        stream.take(typeUrl, [[name, "1"]], { own: "v1" });
      }
      stream.followed.close();
      const next = run.open();
      next.ask(CLUSTER, { initial });
      next.take(CLUSTER, [["b", "1"]], { own: "v1" });
      await run[Symbol.asyncDispose]();
      return servedOf(folder.path, DELTA);
    };
    expect(await served([["a", "v1"]])).toEqual({ a: "1", b: "1" });
    expect(await served([["a", "v2"]])).toBeUndefined();
    expect(await served([["a", ""]])).toBeUndefined();
  });

  test("an Envoy that may have taken an unanswered change is not known by names alone", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, DELTA);
    const stream = run.open();
    stream.boot([["a", "1"]]);
    stream.send(CLUSTER, [["a", "2"]]);
    stream.followed.close();
    const next = run.open();
    next.ask(CLUSTER, { initial: ["a"] });
    next.take(CLUSTER, [["b", "1"]]);
    expect(await next.followed.standIn()).toBeUndefined();
  });

  test("endpoints that a reconnecting Envoy has, and nobody knows, leave nothing to be served", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, DELTA);
    run.open().boot([["a", "1"]]);
    const next = run.open();
    next.ask(ENDPOINTS, { names: ["a", "b"], initial: [["a", "v7"]] });
    next.take(ENDPOINTS, [["b", "1"]]);
    expect(await next.followed.standIn()).toBeUndefined();
  });

  test("a rejected name table leaves Envoy's own configuration as it is", async () => {
    await using folder = await makeFolder();
    await using run = startRun(folder.path, DELTA);
    const stream = run.open();
    stream.boot([["a", "1"]]);
    stream.ask(NAME_TABLE);
    stream.take(NAME_TABLE, [["", "table"]]);
    reject(stream, NAME_TABLE, stream.send(NAME_TABLE, [["", "broken"]]));
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, DELTA)).toEqual({ a: "1" });
    expect(await servedOf(folder.path, DELTA, NAME_TABLE)).toBeUndefined();
  });
});

test("whole states in envelopes are kept, and a secret in one never reaches the disk", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, SOTW);
  const stream = run.open();
  stream.ask(CLUSTER);
  stream.take(CLUSTER, [["a", "1"]], { wrapped: CLUSTER });
  stream.ask(LISTENER);
  stream.take(LISTENER, [["l", "1"]]);
  stream.ask(SECRET, { names: ["default"] });
  stream.take(SECRET, [["default", "TOP SECRET"]], { wrapped: SECRET });
  await stream.followed.standIn();
  expect(await servedOf(folder.path, SOTW)).toEqual({ a: "1" });
  stream.take(LISTENER, [["l", "TOP SECRET"]], { wrapped: SECRET });
  await run[Symbol.asyncDispose]();
  expect(await everythingIn(folder.path)).not.toContain("TOP SECRET");
  expect(await servedOf(folder.path, SOTW)).toBeUndefined();
  expect(run.lines.join()).toContain("a resource is of another type than its response");
});

test.each([SOTW, DELTA])("$name: nothing is kept of a configuration whose routes need VHDS", async (variant) => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, variant);
  const stream = run.open();
  stream.boot([["a", "1"]]);
  const virtualHosts = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
  stream.ask(virtualHosts);
  stream.take(virtualHosts, [["r/host", "a virtual host"]]);
  expect(await stream.followed.standIn()).toBeDefined();
  expect(await everythingIn(folder.path)).not.toContain("a virtual host");
  stream.ask(ROUTES, { names: ["r"] });
  const nonce = stream.send(ROUTES, [["r", "1"]], { more: message([9, message([1, "from there"])]) });
  stream.accept(ROUTES, nonce, { names: ["r"] });
  expect(await stream.followed.standIn()).toBeUndefined();
  expect(run.lines.join()).toContain('routes "r" need VHDS');
});

test("what whole states were accepted as is served as delta, and the other way round", async () => {
  await using folder = await makeFolder();
  for (const [from, to] of [
    [SOTW, DELTA],
    [DELTA, SOTW],
  ] as const) {
    await using run = startRun(folder.path, from);
    run.open().boot([["a", from.name]]);
    await run[Symbol.asyncDispose]();
    expect(await servedOf(folder.path, to)).toEqual({ a: from.name });
  }
});
