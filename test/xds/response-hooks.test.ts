import { describe, expect, test } from "vitest";
import type { ResponseFacts } from "../../src/xds/peek.ts";
import { type ResponseHook, ResponsePath, type StreamHook } from "../../src/xds/response-hooks.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { CDS, LDS, startRig } from "./relay-rig.ts";

const ECDS = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
const facts = (typeUrl: string, nonce = "n"): ResponseFacts => ({ typeUrl, nonce, versionInfo: "1", resourceCount: 1 });
const every = (hook: Partial<StreamHook>): ResponseHook => ({
  forStream: () => ({ handles: (typeUrl) => typeUrl === ECDS, rewrite: (message) => message, ...hook }),
});

/** A promise that a test lets go. */
function gate() {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve: () => resolve() };
}

describe("the way of one stream's responses", () => {
  /** What is sent and refused, and hooks that are let go one by one. */
  function pathWith(...hooks: StreamHook["rewrite"][]) {
    const events: string[] = [];
    const path = new ResponsePath({
      hooks: hooks.map((rewrite) => ({ handles: (typeUrl) => typeUrl === ECDS, rewrite })),
      forward: async ({ nonce }, message) => void events.push(`${nonce} ${message}`),
      refuse: ({ nonce }, reason) => void events.push(`${nonce} refused: ${reason}`),
    });
    return { events, take: (type: string, nonce: string) => path.take(facts(type, nonce), Buffer.from("x")), path };
  }

  test("a hook at work holds up its own type, in order, and no other", async () => {
    const { promise, resolve } = gate();
    const { events, take } = pathWith(async (message) => promise.then(() => Buffer.from(`${message}+`)));
    expect(take(ECDS, "1")).toBeUndefined();
    expect(take(ECDS, "2")).toBeUndefined();
    await take(CDS, "3");
    expect(events).toEqual(["3 x"]);
    resolve();
    await expect.poll(() => events).toEqual(["3 x", "1 x+", "2 x+"]);
    await take(ECDS, "4");
    await expect.poll(() => events.at(-1)).toBe("4 x+");
  });

  test("many responses of one type may wait; beyond 32 MiB nothing more is read until they are dealt with", async () => {
    const { promise, resolve } = gate();
    const { events, take, path } = pathWith(async () => promise.then(() => Buffer.from("y")));
    const nonces = Array.from({ length: 100 }, (_, at) => String(at));
    for (const nonce of nonces) expect(take(ECDS, nonce)).toBeUndefined();
    await take(CDS, "other");
    expect(events).toEqual(["other x"]);
    const held = path.take(facts(ECDS, "large"), Buffer.alloc(32 * 2 ** 20));
    expect(held).toBeInstanceOf(Promise);
    resolve();
    await held;
    expect(events.slice(1)).toEqual([...nonces, "large"].map((nonce) => `${nonce} y`));
  });

  test("hooks see what the one before them made, whether it took its time or not", async () => {
    const add = (text: string) => (message: Buffer) => Buffer.from(`${message}${text}`);
    const { events, take } = pathWith(add("a"), async (message) => add("b")(message), add("c"));
    void take(ECDS, "1");
    await expect.poll(() => events).toEqual(["1 xabc"]);
  });

  test.each<[string, StreamHook["rewrite"]]>([
    [
      "throws",
      () => {
        throw new Error("no such module");
      },
    ],
    ["rejects", () => Promise.reject(new Error("no such module"))],
  ])("a hook that %s refuses the response, and the next one passes", async (_, fail) => {
    let isFailing = true;
    const { events, take } = pathWith((message, ...rest) => (isFailing ? fail(message, ...rest) : message));
    await take(ECDS, "1");
    await expect.poll(() => events).toEqual(["1 refused: no such module"]);
    isFailing = false;
    await take(ECDS, "2");
    await expect.poll(() => events.at(-1)).toBe("2 x");
  });

  test("the end of the stream tells a hook at work, and what it makes then goes nowhere", async () => {
    const { promise, resolve } = gate();
    let over: AbortSignal | undefined;
    const { events, take, path } = pathWith((message, _, signal) => {
      over = signal;
      return promise.then(() => message);
    });
    void take(ECDS, "1");
    path.close();
    expect(over?.aborted).toBe(true);
    resolve();
    await take(CDS, "2");
    expect(events).toEqual([]);
  });
});

test.each(["sotw", "delta"] as const)("a refused response is rejected in Envoy's place (%s)", async (variant) => {
  await using istiod = await startFakeIstiod();
  let isRefusing = true;
  const rewrite = (message: Buffer): Buffer => {
    if (isRefusing) throw new Error("the module cannot be had");
    return message;
  };
  await using rig = await startRig(istiod.port, { hooks: [every({ rewrite })] });
  const envoy = rig.connect().open(variant);
  envoy.request({ typeUrl: CDS, node: "sidecar~1.1.1.1~a.b~b.svc" });
  if (variant === "sotw") envoy.request({ typeUrl: ECDS, versionInfo: "0", names: ["a", "b"] });
  else envoy.request({ typeUrl: ECDS, names: ["a", "b"] });
  const stream = await expect
    .poll(() => istiod.streams[0])
    .toBeDefined()
    .then(() => istiod.streams[0]);
  await expect.poll(() => stream?.requests.length).toBe(2);
  const send = (typeUrl: string, nonce: string): void => {
    if (variant === "sotw") stream?.send({ typeUrl, nonce, versionInfo: nonce });
    else stream?.sendDelta({ typeUrl, nonce });
  };
  send(ECDS, "1");
  await expect.poll(() => stream?.requests.length).toBe(3);
  expect(stream?.requests[2]).toMatchObject({
    typeUrl: ECDS,
    responseNonce: "1",
    errorDetail: { code: 13, message: "the module cannot be had" },
    ...(variant === "sotw" ? { versionInfo: "0", resourceNames: ["a", "b"] } : { resourceNamesSubscribe: [] }),
  });
  expect(rig.relay.state().rejection).toMatchObject({ typeUrl: ECDS, nonce: "1", message: "the module cannot be had" });
  isRefusing = false;
  send(LDS, "2");
  send(ECDS, "3");
  await expect.poll(() => envoy.responses.map(({ nonce }) => nonce)).toEqual(["2", "3"]);
});

test("streams of gRPC clients pass no hook", async () => {
  await using istiod = await startFakeIstiod();
  const seen: string[] = [];
  const hook: ResponseHook = {
    forStream() {
      seen.push("asked");
      return undefined;
    },
  };
  await using rig = await startRig(istiod.port, { hooks: [hook], envoys: () => 0 });
  const client = rig.connect().open("sotw");
  client.request({ typeUrl: CDS, node: "sidecar~1.1.1.1~a.b~b.svc" });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(1);
  istiod.streams[0]?.send({ typeUrl: CDS, nonce: "1", versionInfo: "1" });
  await expect.poll(() => client.responses.length).toBe(1);
  expect(seen).toEqual([]);
});

test("hooks are told what Envoy asks for of their types", async () => {
  await using istiod = await startFakeIstiod();
  const asked: string[] = [];
  await using rig = await startRig(istiod.port, {
    hooks: [every({ noteRequest: (typeUrl) => void asked.push(typeUrl) })],
  });
  const envoy = rig.connect().open("delta");
  envoy.request({ typeUrl: CDS, node: "sidecar~1.1.1.1~a.b~b.svc" });
  envoy.request({ typeUrl: ECDS, names: ["a"] });
  await expect.poll(() => asked).toEqual([ECDS]);
});
