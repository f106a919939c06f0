import { renameSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLogger } from "../../src/base/index.ts";
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  EXTENSION_TYPE,
  HEALTH_TYPE,
  LISTENER_TYPE,
  NAME_TABLE_TYPE,
  ROUTE_TYPE,
} from "../../src/control-plane/ads/resource-types.ts";
import type { ControlPlaneNews } from "../../src/control-plane/index.ts";
import type { DeltaDiscoveryResponse } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { NameTableSchema } from "../../src/proto/gen/istio/networking/nds/v1/nds_pb.ts";
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

const namesIn = ({ resources }: DeltaDiscoveryResponse): string[] => resources.map(({ name }) => name);

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

  test("names subscribed later are answered alone", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["x"] });
    expect(namesIn(await stream.next())).toEqual(["x"]);
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["y"] });
    expect(namesIn(await stream.next())).toEqual(["y"]);
    stream.cancel();
  });

  test("endpoints that nobody wrote down are none, other names are said to be removed, extensions are never", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["nowhere"] });
    expect(await stream.next()).toMatchObject({ resources: [{ name: "nowhere" }], removedResources: [] });
    stream.send({ typeUrl: ROUTE_TYPE, resourceNamesSubscribe: ["nowhere"] });
    expect(await stream.next()).toMatchObject({ resources: [], removedResources: ["nowhere"] });
    stream.send({ typeUrl: EXTENSION_TYPE, resourceNamesSubscribe: ["nowhere"] });
    expect(await stream.next()).toMatchObject({ resources: [], removedResources: [] });
    stream.cancel();
  });

  test("who comes back is told what is gone meanwhile", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE, initialResourceVersions: { a: "1", old: "1" } });
    const answer = await stream.next();
    expect(namesIn(answer)).toEqual(["a", "b"]);
    expect(answer.removedResources).toEqual(["old"]);
    stream.cancel();
  });

  test("what was unsubscribed is not sent again", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["x", "y"] });
    await stream.next();
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNamesUnsubscribe: ["x"] });
    stream.send({ typeUrl: LISTENER_TYPE });
    expect((await stream.next()).typeUrl).toBe(LISTENER_TYPE); // so both requests are taken in
    rig.controlPlane.setResources("endpoints: []");
    expect(namesIn(await stream.next())).toEqual(["y"]);
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
    expect(namesIn(pushed)).toEqual(["c"]);
    expect(pushed.removedResources).toEqual(["b"]);
    stream.cancel();
  });

  test("an editor's rename over the file is a change, too", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    await stream.next();
    for (const name of ["c", "d"]) {
      rig.write(".mesh.swp", `clusters:${cluster("a")}${cluster("b")}${cluster(name)}`);
      renameSync(join(rig.folder, ".mesh.swp"), join(rig.folder, "mesh.yaml"));
      expect(namesIn(await stream.next())).toEqual([name]);
    }
    stream.cancel();
  });

  test("a changed cluster is followed by its endpoints, for which a warming Envoy waits", async () => {
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    await stream.next();
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNamesSubscribe: ["x"] });
    await stream.next();
    rig.write("mesh.yaml", MESH.replace("1s", "2s"));
    expect(await stream.next()).toMatchObject({ typeUrl: CLUSTER_TYPE, resources: [{ name: "a" }] });
    expect(await stream.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, resources: [{ name: "x" }] });
    stream.cancel();
  });

  test("a broken file leaves what is served as it was", async () => {
    rig.write("mesh.yaml", "clusters:\n  - name: a\n    no_such_field: 1\n");
    await expect(rig.controlPlane.reload()).rejects.toThrow(
      /mesh\.yaml", line 3, column 5: clusters\[0\]\.no_such_field/,
    );
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

  test("who asked for news is told of what was read, what could not be read, and what an Envoy refused", async () => {
    const news: ControlPlaneNews[] = [];
    const listener = (port: number): string =>
      `listeners: [{ name: outbound, address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } }]\n`;
    await using own = await startRig({ "mesh.yaml": listener(1) }, { onNews: (one) => void news.push(one) });
    const told = () => news.map(({ kind, ...more }) => [kind, more]);
    const first = ["read", { isAgain: false, listeners: [{ name: "outbound", port: 1 }], names: [] }];
    expect(told()).toEqual([first]);
    own.write("mesh.yaml", listener(2).replace("port_value", "portValue"));
    await expect
      .poll(told)
      .toEqual([first, ["read", { isAgain: true, listeners: [{ name: "outbound", port: 2 }], names: [] }]]);
    own.write("mesh.yaml", "listeners: [\n");
    await expect
      .poll(told)
      .toContainEqual(["not read", { error: expect.objectContaining({ code: "RESOURCES_INVALID" }) }]);
    const stream = own.delta(
      (await own.controlPlane.mintToken({ namespace: "default", serviceAccount: "web" })).revealText(),
    );
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    const { nonce } = await stream.next();
    stream.send({
      typeUrl: CLUSTER_TYPE,
      responseNonce: nonce,
      errorDetail: { code: 13, message: "no good" } as never,
    });
    const rejection = expect.objectContaining({ typeUrl: CLUSTER_TYPE, message: "no good" });
    await expect.poll(told).toContainEqual(["refused", { rejection }]);
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

  test("a change is pushed for the types that it touches, endpoints after their clusters", async () => {
    const stream = rig.sotw(token);
    stream.send({ node: node(), typeUrl: LISTENER_TYPE });
    await stream.next();
    stream.send({ typeUrl: CLUSTER_TYPE });
    await stream.next();
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNames: ["x"] });
    const { nonce } = await stream.next();
    rig.write("mesh.yaml", `clusters:${cluster("a")}\nendpoints:${endpoints("x")}`);
    expect(await stream.next()).toMatchObject({ typeUrl: CLUSTER_TYPE, resources: [{}] });
    const after = await stream.next();
    expect(after).toMatchObject({ typeUrl: ENDPOINT_TYPE, resources: [{}] });
    expect(after.nonce).not.toBe(nonce);
    stream.cancel();
  });

  test("a stale nonce and an unsubscription are not answered", async () => {
    const stream = rig.sotw(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNames: ["x"] });
    const { nonce } = await stream.next();
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNames: ["y"], responseNonce: "stale" });
    stream.send({ typeUrl: ENDPOINT_TYPE, responseNonce: nonce });
    stream.send({ typeUrl: LISTENER_TYPE });
    expect((await stream.next()).typeUrl).toBe(LISTENER_TYPE);
    stream.cancel();
  });

  test("after new clusters an endpoint request is answered even if it looks like an acknowledgement", async () => {
    const stream = rig.sotw(token);
    stream.send({ node: node(), typeUrl: ENDPOINT_TYPE, resourceNames: ["x"] });
    const { nonce } = await stream.next();
    stream.send({ typeUrl: CLUSTER_TYPE });
    await stream.next();
    stream.send({ typeUrl: ENDPOINT_TYPE, resourceNames: ["x"], responseNonce: nonce });
    expect(await stream.next()).toMatchObject({ typeUrl: ENDPOINT_TYPE, resources: [{}] });
    stream.cancel();
  });

  test("a refusal is remembered and not answered", async () => {
    const stream = rig.sotw(token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    const { nonce } = await stream.next();
    const errorDetail = { code: 13, message: "no good" } as never;
    stream.send({ typeUrl: CLUSTER_TYPE, responseNonce: nonce, errorDetail });
    stream.send({ typeUrl: LISTENER_TYPE });
    expect((await stream.next()).typeUrl).toBe(LISTENER_TYPE);
    expect(rig.controlPlane.rejections()).toMatchObject([{ typeUrl: CLUSTER_TYPE, message: "no good" }]);
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
    ["without a token", () => undefined, [], status.UNAUTHENTICATED, "nor a token"],
    ["with a foreign token", () => "a.b.c", [], status.UNAUTHENTICATED, "the token is refused"],
    [
      "for another namespace",
      () => token,
      [{}, "other"],
      status.PERMISSION_DENIED,
      "matched other/web: the token is for default/web, see POD_NAMESPACE and SERVICE_ACCOUNT",
    ],
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

describe("Istio's own types", () => {
  test("the name table is one unnamed resource, made of every document that fits", async () => {
    rig.write(
      "names-1.yaml",
      "names: { a.b.svc.cluster.local: { ips: [10.0.0.1], registry: Kubernetes, shortname: a } }",
    );
    rig.write("names-2.yaml", "match: { type: router }\nnames: { c.example: { ips: [10.0.0.2] } }");
    await rig.controlPlane.reload();
    const stream = rig.delta(token);
    stream.send({ node: node(), typeUrl: NAME_TABLE_TYPE });
    const { resources } = await stream.next();
    expect(resources.map(({ name }) => name)).toEqual([""]);
    const { table } = fromBinary(NameTableSchema, resources[0]?.resource?.value ?? new Uint8Array());
    expect(Object.keys(table)).toEqual(["a.b.svc.cluster.local"]);
    expect(table["a.b.svc.cluster.local"]).toMatchObject({ ips: ["10.0.0.1"], shortname: "a" });
    stream.cancel();
  });

  test("health is kept and not answered, and before the node is known it is ignored", async () => {
    const stream = rig.sotw(token);
    const errorDetail = { code: 500, message: "probe failed" } as never;
    stream.send({ typeUrl: HEALTH_TYPE, errorDetail });
    stream.send({ node: node(), typeUrl: LISTENER_TYPE });
    await stream.next();
    stream.send({ typeUrl: HEALTH_TYPE });
    stream.send({ typeUrl: HEALTH_TYPE, errorDetail });
    stream.send({ typeUrl: "type.googleapis.com/istio.workload.Address" });
    stream.send({ typeUrl: CLUSTER_TYPE });
    expect((await stream.next()).typeUrl).toBe(CLUSTER_TYPE);
    expect(rig.controlPlane.healthReports().map(({ error }) => error)).toEqual(["", "probe failed"]);
    expect(rig.controlPlane.rejections()).toEqual([]);
    stream.cancel();
  });
});

describe("faults", () => {
  test.each(["delta", "sotw"] as const)("a withheld type is answered when it is released, on %s", async (kind) => {
    const stream = rig[kind](token);
    rig.controlPlane.faults.withhold(LISTENER_TYPE);
    stream.send({ node: node(), typeUrl: LISTENER_TYPE });
    stream.send({ typeUrl: CLUSTER_TYPE });
    expect((await stream.next()).typeUrl).toBe(CLUSTER_TYPE);
    rig.controlPlane.faults.withhold(LISTENER_TYPE, false);
    expect(await stream.next()).toMatchObject({ typeUrl: LISTENER_TYPE, resources: [] });
    stream.cancel();
  });

  test.each(["delta", "sotw"] as const)("a broken resource is none that a client can read, on %s", async (kind) => {
    const stream = rig[kind](token);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    await stream.next();
    rig.controlPlane.faults.sendBroken(CLUSTER_TYPE);
    const [broken] = (await stream.next()).resources;
    const any = (broken !== undefined && "resource" in broken ? broken.resource : broken) as { value: Uint8Array };
    expect(Buffer.from(any.value).toString()).toBe("no protobuf");
    stream.cancel();
  });
});

test("resources given as text are served until the folder is read again", async () => {
  const stream = rig.delta(token);
  stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
  await stream.next();
  rig.controlPlane.setResources(`clusters:${cluster("z")}`);
  const given = await stream.next();
  expect(namesIn(given)).toEqual(["z"]);
  expect(given.removedResources).toEqual(["a", "b"]);
  await rig.controlPlane.reload();
  expect((await stream.next()).removedResources).toEqual(["z"]);
  stream.cancel();
});

test("a taken port is named", async () => {
  const { startControlPlane } = await import("../../src/control-plane/index.ts");
  const { silentLogger } = await import("../../src/base/index.ts");
  const options = { resources: rig.folder, port: rig.controlPlane.port, values: { PORT: "1" }, log: silentLogger };
  await expect(startControlPlane(options, new AbortController().signal)).rejects.toMatchObject({
    code: "ADDRESS_IN_USE",
  });
});

test("reality 30: whoever leaves is logged once, as its coming was, whatever ended the stream", async () => {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line) });
  await using own = await startRig({ "mesh.yaml": MESH }, { log });
  const mine = (await own.controlPlane.mintToken({ namespace: "default", serviceAccount: "web" })).revealText();
  const count = (word: string) => lines.filter((line) => line.includes(`\t${word}\tnode=sidecar~1.1.1.1~a.b~c`)).length;
  const ends: ((stream: ReturnType<Rig["delta"]>) => void)[] = [
    (stream) => stream.cancel(),
    (stream) => stream.end(),
    () => own.controlPlane.closeStreams(),
  ];
  for (const [at, end] of ends.entries()) {
    const stream = own.delta(mine);
    stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
    await stream.next();
    expect([count("Connected"), count("Disconnected")]).toEqual([at + 1, at]);
    end(stream);
    await stream.failed;
    await expect.poll(() => count("Disconnected")).toBe(at + 1);
  }
  const refused = own.delta("no token");
  refused.send({ node: node(), typeUrl: CLUSTER_TYPE });
  await refused.failed;
  expect([count("Connected"), count("Disconnected"), own.controlPlane.connected()]).toEqual([3, 3, []]);
});
