import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../src/base/index.ts";
import { CLUSTER_TYPE, HEALTH_TYPE } from "../../src/control-plane/ads/resource-types.ts";
import { connect, node, startRig, streamTo } from "../control-plane/rig.ts";
import { runtimes } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { createSandbox } from "../support/sandbox.ts";
import { ATTACKS, attackText, EVERYTHING, unsafeIn } from "./hostile-text.ts";

const rejection = (message: string) => ({ code: 13, message, details: [] }) as never;

test("hostile 15: node ids and names that are none are refused, whoever sends them", async () => {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line) });
  await using rig = await startRig({}, { log });
  const token = (await rig.controlPlane.mintToken({ namespace: "default", serviceAccount: "web" })).revealText();
  const honest = node();
  const texts = [...ATTACKS, EVERYTHING].map((text) => Buffer.from(text).toString());
  const refused: object[] = [
    ...texts
      .filter((text) => unsafeIn(text) ?? /[\n\t]/.test(text))
      .map((text) => ({ ...honest, id: `sidecar~1.1.1.1~${text}~c` })),
    { ...honest, id: "x".repeat(3 * 2 ** 20) },
    ...[{ toString: 1 }, ["default"], 1, EVERYTHING, "x".repeat(1_000)].flatMap((value) => [
      { ...honest, metadata: { ...honest.metadata, NAMESPACE: value } },
      { ...honest, metadata: { ...honest.metadata, SERVICE_ACCOUNT: value } },
    ]),
  ];
  for (const one of refused) {
    for (const stream of [rig.delta(token), rig.sotw(token)]) {
      stream.send({ node: one as typeof honest, typeUrl: CLUSTER_TYPE });
      expect(await stream.failed).toMatchObject({ code: status.INVALID_ARGUMENT });
    }
  }
  expect(rig.controlPlane.connected()).toEqual([]);
  for (const line of lines) expect(unsafeIn(line)).toBeUndefined();
  for (const line of lines) expect(line.length).toBeLessThan(1_000);
});

test("hostile 15: what a client refuses or reports is one line, and is kept in bounds", async () => {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line) });
  await using rig = await startRig({}, { log });
  const token = (await rig.controlPlane.mintToken({ namespace: "default", serviceAccount: "web" })).revealText();
  const stream = rig.delta(token);
  stream.send({ node: node(), typeUrl: CLUSTER_TYPE });
  await stream.next();
  const texts = Array.from({ length: 150 }, (_, seed) => Buffer.from(attackText(seed)).toString());
  for (const text of texts) {
    stream.send({ typeUrl: text, errorDetail: rejection(text) });
    stream.send({ typeUrl: HEALTH_TYPE, errorDetail: rejection(text) });
  }
  const huge = "\u001b".repeat(2 ** 20);
  stream.send({ typeUrl: huge, errorDetail: rejection(huge) });
  stream.send({ typeUrl: HEALTH_TYPE, errorDetail: rejection(huge) });
  const { controlPlane } = rig;
  await expect.poll(() => controlPlane.healthReports().at(-1)?.error).toMatch(/more characters\)$/);
  for (const list of [controlPlane.rejections(), controlPlane.healthReports()]) {
    expect(list).toHaveLength(100);
    expect(JSON.stringify(list.at(-1)).length).toBeLessThan(30_000);
  }
  const told = lines.filter((line) => /refused a configuration|Workload health/.test(line));
  expect(told).toHaveLength(2 * texts.length + 2);
  for (const line of told) expect(unsafeIn(line)).toBeUndefined();
  for (const line of told) expect(line.trimEnd().split("\n")).toHaveLength(1);
  stream.cancel();
});

describe.each(runtimes())("$name", (runtime) => {
  test("hostile 15: no client ends the development control plane or writes its log", async () => {
    await using sandbox = await createSandbox(runtime);
    await using controlPlane = await sandbox.startControlPlane();
    const read = (path: string): Promise<string> => readFile(join(sandbox.folder, path), "utf8");
    const token = await read("var/run/secrets/tokens/istio-token");
    const client = connect(sandbox.ports.controlPlane, await read("var/run/secrets/istio/root-cert.pem"));
    try {
      const honest = node();
      const metadata = { NAMESPACE: "default", SERVICE_ACCOUNT: { toString: 1, valueOf: 1 } };
      for (const one of [{ id: EVERYTHING }, { ...honest, metadata }]) {
        const stream = streamTo(client, token);
        stream.send({ node: one as unknown as typeof honest, typeUrl: CLUSTER_TYPE });
        expect(await stream.failed).toMatchObject({ code: status.INVALID_ARGUMENT });
      }
      const stream = streamTo(client, token);
      const quickstart = { NAMESPACE: "default", SERVICE_ACCOUNT: "quickstart" };
      stream.send({ node: { ...honest, metadata: quickstart } as unknown as typeof honest, typeUrl: CLUSTER_TYPE });
      await stream.next();
      stream.send({ typeUrl: CLUSTER_TYPE, errorDetail: rejection(EVERYTHING) });
      await controlPlane.waitFor(/Envoy refused a configuration[^\n]*FORGED/);
      stream.cancel();
      expect(isAlive(controlPlane.pid)).toBe(true);
      expect(unsafeIn(controlPlane.stdout() + controlPlane.stderr())).toBeUndefined();
      expect(controlPlane.stderr()).not.toMatch(/^(2026-01-01T00:00:00|Error: FORGED)/m);
    } finally {
      client.close();
    }
  });
});
