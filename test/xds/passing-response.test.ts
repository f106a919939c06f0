import { expect, test } from "vitest";
import { PassingResponse } from "../../src/xds/passing-response.ts";
import type { ResponseHook } from "../../src/xds/response-hooks.ts";
import { DELTA, SOTW } from "../../src/xds/variant.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { any, message } from "../support/wire-messages.ts";
import { CDS, NDS, startRig } from "./relay-rig.ts";

const ECDS = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
const CLUSTER = "envoy.config.cluster.v3.Cluster";

/** A response of clusters of about that many bytes; its type URL is that of its resources, unless another is given. */
function response(bytes: number, nonce: string, typeUrl = CDS, type = CLUSTER): Buffer {
  return message([1, "v"], [2, any(type, Buffer.alloc(bytes, nonce.length))], [4, typeUrl], [5, nonce]);
}

function same(found: readonly Buffer[], wanted: readonly Buffer[]): boolean {
  return Buffer.concat(found).equals(Buffer.concat(wanted)) && found.length === wanted.length;
}

test("a hook that comes to its end while a large response passes waits for the end of that", async () => {
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const hook: ResponseHook = {
    forStream: () => ({
      handles: (typeUrl) => typeUrl === ECDS,
      rewrite: async (bytes) => held.then(() => bytes),
    }),
  };
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { hooks: [hook] });
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS, node: "sidecar~1.1.1.1~a.b~b.svc", userAgent: "envoy" });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(1);
  const extension = response(100_000, "extension", ECDS, "envoy.config.core.v3.TypedExtensionConfig");
  const [large, last] = [response(20_000_000, "large"), response(10, "last")];
  envoy.pause();
  for (const one of [extension, large]) istiod.streams[0]?.sendRaw(one);
  await expect.poll(() => rig.metric("xds_proxy_responses")).toBe("istio_agent_xds_proxy_responses 2");
  letGo();
  istiod.streams[0]?.sendRaw(last);
  envoy.resume();
  await expect.poll(() => envoy.received.length).toBe(3);
  expect(envoy.responses.map(({ nonce }) => nonce)).toEqual(["large", "extension", "last"]);
  expect(same(envoy.received, [large, extension, last])).toBe(true);
});

test("two Envoys of a hot restart are served large responses at the same time", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { envoys: () => 2 });
  const both = [rig.connect().open("sotw"), rig.connect().open("sotw")];
  for (const envoy of both) envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams.length).toBe(2);
  const sent = [1, 2, 3].map((count) => response(2_000_000, "n".repeat(count)));
  for (const one of sent) for (const stream of istiod.streams) stream.sendRaw(one);
  await expect.poll(() => both.map((envoy) => envoy.received.length)).toEqual([3, 3]);
  for (const envoy of both) expect(same(envoy.received, sent)).toBe(true);
});

test.each([
  ["the agent's own", NDS],
  ["one that a hook wants", ECDS],
  ["none of Envoy's", "type.googleapis.com/istio.io.Other"],
])("a large response whose type turns out to be %s ends the stream, and Envoy gets none of it", async (_, typeUrl) => {
  const hook: ResponseHook = {
    forStream: () => ({ handles: (type) => type === ECDS, rewrite: (bytes) => bytes }),
  };
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { hooks: [hook], intercept: { [NDS]: async () => undefined } });
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS, node: "sidecar~1.1.1.1~a.b~b.svc", userAgent: "envoy" });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(1);
  istiod.streams[0]?.sendRaw(response(200_000, "n", typeUrl));
  expect(await envoy.ended).toMatchObject({
    code: 13,
    details: `a response of type "${typeUrl}" has resources of type "${CDS}"`,
  });
  expect(envoy.received).toEqual([]);
});

test("another type of Envoy's than its resources is left to Envoy, which refuses it in its own words", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(1);
  const odd = response(200_000, "n", "type.googleapis.com/envoy.config.route.v3.RouteConfiguration");
  istiod.streams[0]?.sendRaw(odd);
  await expect.poll(() => same(envoy.received, [odd])).toBe(true);
});

test.each([["sotw", SOTW] as const, ["delta", DELTA] as const])(
  "%s: the time counts that Envoy keeps it waiting, not that of the control plane",
  async (_, variant) => {
    let nowMs = 0;
    const wait = async (ms: number): Promise<void> => {
      await Promise.resolve();
      nowMs += ms;
    };
    const sent: { nonce: string; tookMs: number }[] = [];
    const [piece, rest] = [message([1, "v"]), message([5, "n"])];
    const passing = new PassingResponse({
      variant,
      begin: async () => {
        await wait(3);
        return {
          async write(_, onSent) {
            await wait(20);
            onSent?.();
          },
        };
      },
      onRead: () => undefined,
      onSent: ({ nonce }, _, tookMs) => void sent.push({ nonce, tookMs }),
      now: () => nowMs,
    });
    await passing.piece(piece, false);
    await wait(60_000); // the control plane takes its time
    await passing.piece(rest, true);
    expect(sent).toEqual([{ nonce: "n", tookMs: 43 }]);
  },
);

test("a name table of 5 MB is the agent's, whatever its size: the handler has it whole, and Envoy has none of it", async () => {
  const lengths: number[] = [];
  const take = async (table: Uint8Array): Promise<void> => void lengths.push(table.length);
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port, { intercept: { [NDS]: take } });
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(1);
  const table = any("istio.networking.nds.v1.NameTable", Buffer.alloc(5_000_000, 1));
  istiod.streams[0]?.sendRaw(message([1, "v"], [2, table], [4, NDS], [5, "names"]));
  istiod.streams[0]?.sendRaw(response(10, "behind"));
  await expect.poll(() => envoy.responses.map(({ nonce }) => nonce)).toEqual(["behind"]);
  expect(lengths).toEqual([5_000_000]);
  await expect.poll(() => istiod.streams[0]?.requests.at(-1)).toMatchObject({ typeUrl: NDS, responseNonce: "names" });
});
