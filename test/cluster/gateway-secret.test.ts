import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createTestCa } from "../support/test-ca.ts";
import { startMeshProxy } from "./mesh-proxy.ts";
import { hasCluster, startCluster } from "./start-cluster.ts";

describe.runIf(hasCluster()).each(runtimes())(
  "a gateway whose TLS secret istiod does not send, on $name",
  (runtime) => {
    test("names secret and listener, on one line, and is ready when the secret comes", {
      timeout: 180_000,
    }, async () => {
      await using cluster = await startCluster();
      const folder = await mkdtemp(join(tmpdir(), "pb-secret-"));
      const [port = 0] = await freePorts(1);
      for (const object of scene(cluster.namespace, port)) await cluster.apply(object);
      const options = { folder, account: "default", pod: "gateway", role: "router" } as const;
      await using gateway = await startMeshProxy(runtime, cluster, {
        ...options,
        labels: { gateway: cluster.namespace },
      });
      const waits = `listener "0.0.0.0_${port}" waits for secret "kubernetes://cert" \\(\\d+s\\); istiod does not send a secret that`;
      await expect.poll(() => gateway.readyText()).toMatch(new RegExp(`^server is not live, .*INITIALIZING; ${waits}`));
      expect(await gateway.readyStatus()).toBe(503);
      expect(gateway.command.stdout()).not.toMatch(/\n\n/);

      const { certPem, keyPem } = await (await createTestCa("gateway")).issue({ dns: ["a.example.com"] });
      await cluster.apply({
        ...{ apiVersion: "v1", kind: "Secret", type: "kubernetes.io/tls", metadata: { name: "cert" } },
        stringData: { "tls.crt": certPem, "tls.key": keyPem },
      });
      await expect.poll(() => gateway.readyStatus()).toBe(200);
      expect(await gateway.rejectedUpdates()).toBe(0);
      gateway.command.kill("SIGTERM");
      await gateway.command.ended;
      await rm(folder, { recursive: true, force: true });
    });
  },
);

/** The gateway may read secrets; there is none. */
function scene(namespace: string, port: number) {
  const rbac = "rbac.authorization.k8s.io";
  const tls = { mode: "SIMPLE", credentialName: "cert" };
  const server = { port: { number: port, name: "https", protocol: "HTTPS" }, hosts: ["*"], tls };
  return [
    {
      ...{ apiVersion: `${rbac}/v1`, kind: "Role", metadata: { name: "secrets" } },
      rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["get", "watch", "list"] }],
    },
    {
      ...{ apiVersion: `${rbac}/v1`, kind: "RoleBinding", metadata: { name: "secrets" } },
      roleRef: { apiGroup: rbac, kind: "Role", name: "secrets" },
      subjects: [{ kind: "ServiceAccount", name: "default", namespace }],
    },
    {
      ...{ apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "gateway" } },
      spec: { selector: { gateway: namespace }, servers: [server] },
    },
  ];
}
