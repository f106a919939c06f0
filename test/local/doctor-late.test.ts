import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openCluster } from "../../src/kubernetes/index.ts";
import { type Check, ok, runChecks } from "../../src/local/doctor/check.ts";

const never = new AbortController().signal;

test("a check that is late says for what it waited, if it knows", async () => {
  const waiting = (name: string, late?: NonNullable<Check["late"]>): Check => ({
    ...{ name, needs: [], run: () => new Promise(() => undefined) },
    ...(late !== undefined && { late }),
  });
  const checks = [
    waiting("silent"),
    waiting("telling", async () => ({ found: "the plugin still ran", fix: "Log in" })),
    { name: "quick", needs: [], run: async () => ok("fine") },
  ];
  expect(await runChecks(checks, never, 50)).toEqual([
    { name: "silent", state: "failed", found: "no result within 0.05 s" },
    { name: "telling", state: "failed", found: "no result within 0.05 s: the plugin still ran", fix: "Log in" },
    { name: "quick", state: "ok", found: "fine" },
  ]);
});

test("a cluster names the credential plugin for which its requests wait", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-late-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const kubeconfig = join(folder, "config");
  const exec = {
    apiVersion: "client.authentication.k8s.io/v1",
    command: "sleep",
    args: ["60"],
    interactiveMode: "Never",
  };
  const config = {
    ...{ apiVersion: "v1", kind: "Config", "current-context": "c" },
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:1" } }],
    users: [{ name: "u", user: { exec } }],
  };
  await writeFile(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  const host = { env: { PATH: process.env.PATH ?? "" }, cwd: folder, stderr: process.stderr } as never;
  const cluster = await openCluster({ kubeconfig, host });
  const end = new AbortController();
  expect(cluster.waitsFor()).toBeUndefined();
  const asked = cluster.about(end.signal).catch((error: unknown) => error);
  await expect.poll(() => cluster.waitsFor()).toBe("sleep");
  end.abort(new Error("enough"));
  await asked;
  expect(cluster.waitsFor()).toBeUndefined();
});
