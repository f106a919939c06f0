import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE } from "../../src/control-plane/snapshot.ts";
import { node, type Rig, startRig } from "./rig.ts";

const cluster = (name: string, timeout = "1s") => `
  - name: ${name}
    type: STATIC
    connect_timeout: ${timeout}
    load_assignment: { cluster_name: ${name}, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: \${PORT} } } } }] }] }`;
const endpoints = (name: string) => `
  - cluster_name: ${name}
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 80 } } } }] }]`;
const MESH = `clusters:${cluster("a")}${cluster("b")}\nendpoints:${endpoints("x")}${endpoints("y")}\nlisteners: []\n`;

let rig: Rig;
let token: string;
beforeEach(async () => {
  rig = await startRig({ "mesh.yaml": MESH });
  token = (await rig.controlPlane.mintToken({ namespace: "default", serviceAccount: "web" })).revealText();
});
afterEach(() => rig[Symbol.asyncDispose]());

describe("delta", () => {
  test("the first request of a type is answered in full, an acknowledgement is not", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    const first = await stream.next();
    expect(first.resources.map(({ name }) => name)).toEqual(["a", "b"]);
    stream.send({ typeUrl: CLUSTER_TYPE, responseNonce: first.nonce });
    stream.send({ typeUrl: LISTENER_TYPE });
    expect((await stream.next()).typeUrl).toBe(LISTENER_TYPE); // also when there is none: Envoy waits for it
    stream.cancel();
  });

  test("names subscribed later are answered alone, and what is not there is said to be removed", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["x"] });
    expect((await stream.next()).resources.map(({ name }) => name)).toEqual(["x"]);
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["y", "nowhere"] });
    const second = await stream.next();
    expect(second.resources.map(({ name }) => name)).toEqual(["y"]);
    expect(second.removedResources).toEqual(["nowhere"]);
    stream.cancel();
  });

  test("a stale nonce is passed over", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["x"] });
    await stream.next();
    stream.send({ typeUrl: ENDPOINT_TYPE, responseNonce: "stale", resourceNamesSubscribe: ["y"] });
    stream.send({ typeUrl: LISTENER_TYPE });
    expect((await stream.next()).typeUrl).toBe(LISTENER_TYPE);
    stream.cancel();
  });

  test("clusters are followed by the endpoints that are already watched", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["x"] });
    await stream.next();
    stream.send({ typeUrl: CLUSTER_TYPE });
    expect((await stream.next()).typeUrl).toBe(CLUSTER_TYPE);
    expect((await stream.next()).typeUrl).toBe(ENDPOINT_TYPE);
    stream.cancel();
  });

  test("a changed file sends just what changed, and what is gone", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    await stream.next();
    rig.write("mesh.yaml", `clusters:${cluster("a")}${cluster("c")}`);
    const pushed = await stream.next();
    expect(pushed.resources.map(({ name }) => name)).toEqual(["c"]);
    expect(pushed.removedResources).toEqual(["b"]);
    stream.cancel();
  });

  test("a broken file leaves what is served as it was", async () => {
    rig.write("mesh.yaml", "clusters:\n  - name: a\n    no_such_field: 1\n");
    await expect(rig.controlPlane.reload()).rejects.toThrow(/mesh\.yaml", line 2: clusters\[0\]: .*no_such_field/);
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    expect((await stream.next()).resources.map(({ name }) => name)).toEqual(["a", "b"]);
    stream.cancel();
  });

  test("a refusal is remembered", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    const { nonce } = await stream.next();
    const errorDetail = { code: 13, message: "no good" } as never;
    stream.send({ typeUrl: CLUSTER_TYPE, responseNonce: nonce, errorDetail });
    await expect
      .poll(() => rig.controlPlane.rejections())
      .toMatchObject([{ typeUrl: CLUSTER_TYPE, message: "no good" }]);
    stream.cancel();
  });

  test("closing the streams ends them well, as istiod does at its connection age", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    await stream.next();
    expect(rig.controlPlane.connected()).toEqual(["sidecar~1.1.1.1~a.b~c"]);
    rig.controlPlane.closeStreams();
    expect((await stream.failed).code).toBe(status.OK);
    await expect.poll(() => rig.controlPlane.connected()).toEqual([]);
  });
});

describe("state of the world", () => {
  test("an acknowledgement is not answered, added names are answered alone", async () => {
    const stream = rig.sotw(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNames: ["x"] });
    const first = await stream.next();
    expect(first.resources).toHaveLength(1);
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNames: ["x"], responseNonce: first.nonce });
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNames: ["x", "y"], responseNonce: first.nonce });
    const second = await stream.next();
    expect(second.resources).toHaveLength(1);
    expect(second.nonce).not.toBe(first.nonce);
    stream.cancel();
  });

  test("no names mean nothing for endpoints and everything for clusters", async () => {
    const stream = rig.sotw(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE });
    stream.send({ typeUrl: CLUSTER_TYPE });
    const answer = await stream.next();
    expect(answer.typeUrl).toBe(CLUSTER_TYPE);
    expect(answer.resources).toHaveLength(2);
    stream.cancel();
  });
});

describe("who may ask", () => {
  test.each<[string, () => string | undefined, Parameters<typeof node>, number, string]>([
    ["without a token", () => undefined, [], status.UNAUTHENTICATED, "there is no token"],
    ["with a foreign token", () => "a.b.c", [], status.UNAUTHENTICATED, "the token is refused"],
    ["for another namespace", () => token, [{}, "other"], status.UNAUTHENTICATED, "claims other/web"],
  ])("%s: refused", async (_name, tokenOf, nodeWords, code, details) => {
    const stream = rig.delta(tokenOf());
    stream.send({ node: node(...nodeWords), typeUrl: CLUSTER_TYPE });
    expect(await stream.failed).toMatchObject({ code, details: expect.stringContaining(details) });
  });

  test("a first message without a node is refused", async () => {
    const stream = rig.delta(token);
    stream.send({ typeUrl: CLUSTER_TYPE });
    expect(await stream.failed).toMatchObject({ code: status.INVALID_ARGUMENT, details: "missing node information" });
  });
});

test("match chooses by label and namespace", async () => {
  rig.write("extra.yaml", `match: { labels: { tier: gold }, namespace: default }\nclusters:${cluster("gold")}`);
  await rig.controlPlane.reload();
  const names = async (labels: Readonly<Record<string, string>>) => {
    const stream = rig.delta(token);
    stream.send({ node: node(labels), typeUrl: CLUSTER_TYPE });
    const { resources } = await stream.next();
    stream.cancel();
    return resources.map(({ name }) => name);
  };
  expect(await names({ tier: "gold" })).toEqual(["gold", "a", "b"]);
  expect(await names({})).toEqual(["a", "b"]);
});

test.each([
  ["an unknown list", "klusters: []", 'line 1: unknown list "klusters"'],
  ["YAML that is none", "clusters:\n  - {", "line 2"],
  ["a resource without a name", "clusters:\n  - type: STATIC", 'line 2: clusters[0]: it has no "name"'],
  [
    "an unknown type in an Any",
    'listeners: [{ name: a, filter_chains: [{ filters: [{ name: f, typed_config: { "@type": "type.googleapis.com/no.Such" } }] }] }]',
    "no.Such",
  ],
  ["a placeholder without value", "clusters: [{ name: ${NOWHERE} }]", "${NOWHERE} has neither a value nor a default"],
])("%s is told with its place", async (_name, text, expected) => {
  rig.write("bad.yaml", text);
  await expect(rig.controlPlane.reload()).rejects.toThrow(expected);
});

test("a taken port is named", async () => {
  const { startControlPlane } = await import("../../src/control-plane/index.ts");
  const { silentLogger } = await import("../../src/base/index.ts");
  const options = { resources: rig.folder, port: rig.controlPlane.port, values: { PORT: "1" }, log: silentLogger };
  await expect(startControlPlane(options, new AbortController().signal)).rejects.toMatchObject({
    code: "ADDRESS_IN_USE",
  });
});
