import { expect, test } from "vitest";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { CDS, LDS, startRig } from "./relay-rig.ts";

test.each(["sotw", "delta"] as const)("clusters and listeners are asked for and answered (%s)", async (variant) => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRig(istiod.port);
  const envoy = rig.connect().open(variant);
  envoy.request({ typeUrl: CDS, node: "sidecar~1.1.1.1~a.b~b.svc" });
  envoy.request({ typeUrl: LDS });
  await expect.poll(() => istiod.streams[0]?.requests.map((request) => request.typeUrl)).toEqual([CDS, LDS]);
  const stream = istiod.streams[0];
  expect(stream?.variant).toBe(variant);
  for (const typeUrl of [CDS, LDS]) {
    if (variant === "sotw") stream?.send({ typeUrl, nonce: `n-${typeUrl}`, versionInfo: "1" });
    else stream?.sendDelta({ typeUrl, nonce: `n-${typeUrl}` });
  }
  await expect.poll(() => envoy.responses.map((response) => response.typeUrl)).toEqual([CDS, LDS]);
  expect(rig.relay.state().upstream.kind).toBe("responding");
});
