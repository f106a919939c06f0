import { expect, test } from "vitest";
import { type FakeIstiod, startFakeIstiod } from "../support/fake-istiod.ts";
import { CDS, LDS, NDS, startRig } from "./relay-rig.ts";

const HEALTH = "type.googleapis.com/istio.v1.HealthInformation";
const NODE = { typeUrl: CDS, node: "sidecar~1.1.1.1~a.b~b.svc" };

/** Types of the requests of a stream; health with its reason. */
function seen(istiod: FakeIstiod, at: number): string[] | undefined {
  return istiod.streams[at]?.requests.map(({ typeUrl, errorDetail }) => {
    const reason = errorDetail === undefined ? "healthy" : `${errorDetail.code} ${errorDetail.message}`;
    return typeUrl === HEALTH ? reason : (typeUrl.split(".").at(-1) ?? "");
  });
}

test.each(["sotw", "delta"] as const)(
  "what is announced goes out after the listener request, at each change, and again on the next stream (%s)",
  async (variant) => {
    await using istiod = await startFakeIstiod();
    await using rig = await startRig(istiod.port, { intercept: { [NDS]: () => undefined } });
    rig.relay.announce({ typeUrl: HEALTH, rejection: "too early" });
    rig.relay.announce({ typeUrl: HEALTH, rejection: "refused" });
    const client = rig.connect();
    const envoy = client.open(variant);
    envoy.request(NODE);
    await expect.poll(() => seen(istiod, 0)).toEqual(["Cluster"]);
    rig.relay.announce({ typeUrl: HEALTH, rejection: "still down" });
    envoy.request({ typeUrl: LDS });
    await expect.poll(() => seen(istiod, 0)).toEqual(["Cluster", "Listener", "NameTable", "13 still down"]);
    envoy.request({ typeUrl: LDS });
    rig.relay.announce({ typeUrl: HEALTH });
    await expect.poll(() => seen(istiod, 0)?.slice(4).sort()).toEqual(["Listener", "healthy"]);
    envoy.cancel();
    await envoy.ended;
    await expect.poll(() => istiod.streams[0]?.isClosed).toBe(true);
    const next = client.open(variant);
    next.request(NODE);
    next.request({ typeUrl: LDS });
    await expect.poll(() => seen(istiod, 1)).toEqual(["Cluster", "Listener", "NameTable", "healthy"]);
    expect(seen(istiod, 0)).toHaveLength(6);
  },
);

test("a gRPC client beside an Envoy carries nothing of the agent's", async () => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  rig.relay.announce({ typeUrl: HEALTH });
  const envoy = rig.connect().open("sotw");
  envoy.request(NODE);
  envoy.request({ typeUrl: LDS });
  await expect.poll(() => seen(istiod, 0)).toContain("healthy");
  const client = rig.connect().open("sotw");
  client.request({ typeUrl: LDS, node: "sidecar~1.1.1.1~a.b~b.svc", userAgent: "gRPC Go" });
  client.request({ typeUrl: CDS });
  await expect.poll(() => seen(istiod, 1)).toEqual(["Listener", "Cluster"]);
});
