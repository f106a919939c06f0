import { describe, expect, test } from "vitest";
import { nodeOptions } from "../../src/agent/start-envoy/options.ts";
import { diffByPath } from "../../src/bootstrap/index.ts";
import { loadConfig } from "../../src/config/index.ts";
import { fetchEnvoy } from "../../src/envoy/binary/index.ts";
import { describeNode } from "../../src/node/index.ts";
import type { NodeFacts } from "../../src/node/node-types.ts";
import { UNKNOWN_PLATFORM } from "../../src/node/node-types.ts";
import { chooseEncoding } from "../../src/status/reply.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { runtimes } from "../support/pilotboat.ts";
import { CDS, startRig as startRelay } from "../xds/relay-rig.ts";
import { startVictim } from "./rig.ts";

/** Names that every object has, without anybody having put them there. */
const INHERITED = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "__defineGetter__"];

describe.each(runtimes())("names of peers on $name", (runtime) => {
  test("hostile 9: no encoding, path or query of a client finds what an object inherits", async () => {
    await using victim = await startVictim(runtime);
    for (const name of INHERITED) {
      const answer = await victim.ask("/stats/prometheus", { "Accept-Encoding": name });
      expect(answer).toMatchObject({ status: 200, isBroken: false });
      expect(answer.headers["content-encoding"]).toBeUndefined();
      expect(answer.text).toContain("istio_agent_scrapes_total");
      expect((await victim.ask(`/${name}`)).status).toBe(404);
    }
    const mixed = await victim.ask("/stats/prometheus", { "Accept-Encoding": `${INHERITED.join()}, gzip;q=0.1` });
    expect(mixed.headers["content-encoding"]).toBe("gzip");
  });
});

test.each(INHERITED)("hostile 9: Accept-Encoding %s is no encoding of ours", (name) => {
  expect(chooseEncoding(name)).toBeUndefined();
  expect(chooseEncoding(`${name};q=1, gzip;q=0.5`)).toBe("gzip");
});

test.each(INHERITED)("hostile 9: a response of type %s is passed over, and the stream goes on", async (typeUrl) => {
  await using istiod = await startFakeIstiod();
  await using rig = await startRelay(istiod.port);
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: CDS });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(1);
  istiod.streams[0]?.send({ typeUrl, nonce: "1", versionInfo: "1" });
  istiod.streams[0]?.send({ typeUrl: CDS, nonce: "2", versionInfo: "1" });
  await expect.poll(() => envoy.responses.map((response) => response.typeUrl)).toEqual([CDS]);
  expect(rig.log.join("\n")).toContain(`Skipping forwarding type url ${typeUrl} to Envoy`);
  expect(istiod.streams[0]?.requests.length).toBe(1);
});

const FACTS: NodeFacts = {
  interfaceAddresses: [{ interface: "eth0", address: "10.0.0.1" }],
  podLabels: undefined,
  podAnnotations: undefined,
  platform: UNKNOWN_PLATFORM,
  hasCredentialSocket: false,
  hasExternalSds: false,
};

test("hostile 9: labels, metadata and settings of such names are those that were given, or none", async () => {
  const labels = `{${INHERITED.map((name) => `"${name}": "mine"`).join()}}`;
  const proxy = `{"proxyMetadata": ${labels}, "runtimeValues": ${labels}}`;
  const env = { PROXY_CONFIG: proxy, ISTIO_METAJSON_LABELS: labels };
  const { config } = await loadConfig({ args: ["sidecar"], env, cwd: "/" });
  expect(Object.entries(config.proxy.proxyMetadata)).toEqual(INHERITED.map((name) => [name, "mine"]));
  const { metadata } = describeNode(nodeOptions(config), FACTS);
  expect(Object.keys(metadata.LABELS as object)).toEqual(expect.arrayContaining(INHERITED));
  expect(({} as Record<string, unknown>).mine).toBeUndefined();
});

test("hostile 9: what only one of two bootstraps has under such a name is a difference", () => {
  for (const name of INHERITED.filter((one) => one !== "__proto__")) {
    expect(diffByPath({}, { [name]: 1 })).toEqual([{ path: name, after: 1 }]);
    expect(diffByPath({ [name]: 1 }, {})).toEqual([{ path: name, before: 1 }]);
  }
});

test.each(INHERITED)("hostile 9: nobody serves Envoy for the platform %s", async (platform) => {
  const options = { env: { XDG_CACHE_HOME: "/nowhere" }, platform: platform as "linux-x64", isUnlocked: true };
  const fetching = fetchEnvoy({ ...options, onNote: () => undefined }, new AbortController().signal);
  await expect(fetching).rejects.toThrow("it is there for linux-x64");
});
