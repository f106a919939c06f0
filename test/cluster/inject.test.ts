import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments, stringify } from "yaml";
import { runInProcess } from "../support/run-cli.ts";
import type { Cluster } from "./enter-cluster.ts";
import { MANIFESTS } from "./inject-manifests.ts";
import { type OwnCluster, startOwnCluster } from "./own-cluster.ts";
import { podsOf, withoutForm } from "./pods-of.ts";
import { hasCluster } from "./start-cluster.ts";
import { startWebhook, type Webhook } from "./webhook.ts";

// What the command prints is what the real webhook of a real istiod makes of the pods of the same manifests.

describe.runIf(hasCluster())("inject beside the real webhook", { timeout: 120_000 }, () => {
  let own: OwnCluster;
  let cluster: Cluster;
  let webhook: Webhook;
  let folder: string;
  /** Of the image alone. */
  let values: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-inject-"));
    values = join(folder, "values.yaml");
    await writeFile(values, "global: { hub: registry.istio.io/testing, tag: latest }");
    own = await startOwnCluster();
    cluster = await own.enter();
    webhook = await startWebhook(cluster, own.istiod);
  }, 300_000);
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    await own?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const inject = async (manifest: unknown, ...words: readonly string[]) => {
    const file = join(folder, "manifest.yaml");
    await writeFile(file, stringify(manifest));
    const args = ["inject", "-f", file, "--kubeconfig", cluster.kubeconfig, "--image", "istio", "-n", "shop", ...words];
    const { code, stdout, stderr } = await runInProcess(args, { cwd: folder, env: process.env });
    return { code, stderr, output: parseAllDocuments(stdout)[0]?.toJS() };
  };

  test.each(Object.entries(MANIFESTS))("%s", async (title, manifest) => {
    const { code, stderr, output } = await inject(manifest);
    expect([code, stderr]).toEqual([0, ""]);
    const wanted = await Promise.all(podsOf(manifest).map((pod) => webhook.inject(pod, "shop")));
    expect(wanted.length).toBeGreaterThan(0);
    expect(podsOf(output).map(withoutForm)).toEqual(wanted.map(withoutForm));
    if (/grpc|two templates/i.test(title)) return; // templates that are not built in
    const alone = await inject(manifest, "--built-in", "--valuesFile", values);
    expect([alone.code, alone.stderr]).toEqual([0, ""]);
    expect(podsOf(alone.output).map(withoutForm)).toEqual(wanted.map(withoutForm));
  });
});
