import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findIstioctl, runIstioctl } from "../support/istioctl.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { startMeshProxy } from "./mesh-proxy.ts";
import { hasCluster, startCluster } from "./start-cluster.ts";

const istioctl = hasCluster() ? findIstioctl() : undefined;

describe.runIf(istioctl !== undefined).each(runtimes())("istioctl asks istiod itself, on $name", (runtime) => {
  test("reality 42: proxy-status and internal-debug with --xds-address take OUTPUT_CERTS for --cert-dir, and show the proxy in sync; proxy-config prints its tables as istioctl does", {
    timeout: 300_000,
  }, async () => {
    await using cluster = await startCluster();
    const folder = await mkdtemp(join(tmpdir(), "pb-istioctl-"));
    const certs = join(folder, "certs");
    await mkdir(certs);
    const pod = `tool-${cluster.namespace}`; // in istiod's namespace, whose accounts alone may ask
    await using proxy = await startMeshProxy(runtime, cluster, {
      ...{ folder, namespace: "istio-system", account: "default", pod, labels: { app: "tool" } },
      env: { OUTPUT_CERTS: certs },
    });
    await expect.poll(() => proxy.readyStatus()).toBe(200);
    const where = [
      "--xds-address",
      cluster.discoveryAddress,
      "--authority",
      "istiod.istio-system.svc",
      "--cert-dir",
      certs,
    ];
    const env = { KUBECONFIG: cluster.kubeconfig };
    const name = `${pod}.istio-system`;
    const row = () => runIstioctl(istioctl ?? "", ["proxy-status", ...where], env);
    await expect
      .poll(row, { interval: 500 })
      .toMatch(new RegExp(`^${name} +Kubernetes +istiod-0 .*4 \\(CDS,LDS,EDS,RDS\\)`, "m"));
    const debug = JSON.parse(
      await runIstioctl(istioctl ?? "", ["x", "internal-debug", "syncz", ...where], env),
    ) as Synced[];
    const mine = debug.find((one) => one.proxy === name);
    expect(mine).toMatchObject({ proxy_type: "sidecar", cluster_id: "Kubernetes" });
    for (const type of ["cluster", "listener", "endpoint"] as const) {
      expect(mine?.[`${type}_sent`]).toBeTruthy();
      expect(mine?.[`${type}_acked`]).toBe(mine?.[`${type}_sent`]);
    }
    for (const [part, path] of DUMPS) {
      const file = join(folder, `${part}.json`);
      await writeFile(file, await fetch(`http://127.0.0.1:${proxy.adminPort}/${path}`).then((answer) => answer.text()));
      const words = ["proxy-config", part, "--file", file];
      const { stdout } = await run(runtime, words);
      expect(stdout).toBe(await runIstioctl(istioctl ?? "", words, env));
    }
    proxy.command.kill("SIGTERM");
    await proxy.command.ended;
    await rm(folder, { recursive: true, force: true });
  });
});

/** What is compared with istioctl's tables, and where Envoy has it. */
const DUMPS = [
  ...["clusters", "listeners", "routes", "secret"].map((part) => [part, "config_dump"] as const),
  ["endpoints", "clusters?format=json"] as const,
];

/** An entry of istiod's `/debug/syncz`. Source: istio/istio pilot/pkg/xds/debug.go (SyncStatus). */
interface Synced extends Readonly<Record<`${"cluster" | "listener" | "endpoint"}_${"sent" | "acked"}`, string>> {
  readonly proxy: string;
}
