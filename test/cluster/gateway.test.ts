import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningCommand, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { missing } from "../support/terminal.ts";
import { createTestCa } from "../support/test-ca.ts";
import { startFaultyApi } from "./faulty-api.ts";
import { gatewayApiCrds } from "./gateway-api.ts";
import type { KubeObject } from "./kube-api.ts";
import { type MeshProxy, startMeshProxy } from "./mesh-proxy.ts";
import { inboundSidecar, podAddress, scene, startApplication } from "./scene.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

// A mesh service `web` behind a sidecar with strict mutual TLS, reached through gateways that run on this machine.

const hasCurl = missing("curl") === undefined;

describe.runIf(hasCluster() && hasCurl).each(runtimes())("gateway, on $name", { timeout: 180_000 }, (runtime) => {
  let cluster: Cluster;
  let application: Awaited<ReturnType<typeof startApplication>>;
  let folder: string;
  let web: MeshProxy;
  let env: Record<string, string>;
  let taken: Server;
  const ports = { service: 0, gateway: 0, secure: 0, api: 0 };

  beforeAll(async () => {
    cluster = await startCluster();
    application = await startApplication();
    folder = await mkdtemp(join(tmpdir(), "pb-gateway-"));
    [ports.service = 0, ports.gateway = 0, ports.secure = 0, ports.api = 0] = await freePorts(4);
    for (const object of scene(cluster.namespace, { ...ports, app: application.port })) await cluster.apply(object);
    const address = await podAddress(cluster, "web");
    await cluster.apply(inboundSidecar(address, application.port));
    await cluster.api.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: away() } });
    for (const object of await istioGateway()) await cluster.apply(object);
    await podAddress(cluster, "edge");
    web = await startMeshProxy(runtime, cluster, {
      ...{ folder: join(folder, "web"), account: "web", pod: "web", labels: { app: "web" }, address },
    });
    taken = createServer();
    await new Promise<void>((done) => taken.listen(ports.gateway, "0.0.0.0", done));
    const proxyConfig = JSON.stringify({ binaryPath: await realEnvoy() });
    env = { KUBECONFIG: cluster.kubeconfig, TMPDIR: folder, PROXY_CONFIG: proxyConfig };
  }, 300_000);
  afterAll(async () => {
    taken?.close();
    await web?.[Symbol.asyncDispose]();
    application?.close();
    await cluster?.api.delete(`/api/v1/namespaces/${away()}`);
    await cluster?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const gateway = (name: string, ...more: string[]) => ["gateway", name, "-n", cluster.namespace, ...more];
  const away = () => `${cluster.namespace}-away`;
  const spiffe = (account: string) => `URI=spiffe://cluster.local/ns/${cluster.namespace}/sa/${account}`;

  test("the printed curl lines of an Istio Gateway answer 200, also with a TLS secret and from a port that was taken", async () => {
    await using command = start(runtime, gateway("edge"), { env });
    await command.waitFor(/the proxy is ready after/);
    await command.waitFor(new RegExp(`moved +0\\.0\\.0\\.0:${ports.gateway} is at \\d+: taken`));
    const lines = await curlLines(command);
    const plain = (host: string) =>
      expect.stringMatching(new RegExp(`^curl -i --connect-to ${host}:${ports.gateway}:127.0.0.1:\\d+ http:`));
    const secure = (host: string) =>
      expect.stringContaining(`curl -i -k --connect-to ${host}:${ports.secure}:127.0.0.1:${ports.secure} https:`);
    expect(lines).toHaveLength(4); // one route of this namespace, one of another
    expect(lines).toEqual(
      expect.arrayContaining(["away.example.com", "web.example.com"].flatMap((host) => [plain(host), secure(host)])),
    );
    expect(command.stderr()).toMatch(/^ +listeners +open to this machine alone.*PILOTBOAT_LOOPBACK_ONLY=false opens/m);
    expect((await listeners(command)).filter((one) => one.endsWith(`:${ports.secure}`))).toEqual([
      `127.0.0.1:${ports.secure}`,
    ]);
    for (const line of lines) {
      await expect.poll(() => runLine(line), { timeout: 60_000 }).toMatch(/^HTTP\/\S+ 200/);
      expect(await runLine(line)).toContain(spiffe("edge"));
    }
    command.kill("SIGINT");
    expect((await command.ended).code).toBe(0);
    expect((await readdir(folder)).filter((name) => name.startsWith("pilotboat-"))).toEqual([]);
  });

  test("who may not list all namespaces is told what is missing; listeners are open on request; a later one that moves is told", async () => {
    await using api = await startFaultyApi(cluster);
    const kubeconfig = join(folder, "kubeconfig-faulty");
    await writeFile(kubeconfig, api.kubeconfig, { mode: 0o600 });
    const forbidden = { status: 403, body: '{"kind":"Status","status":"Failure","message":"no","code":403}' };
    api.break(/^GET \/apis\/networking.istio.io\/v1\/virtualservices$/, forbidden);
    const open = { ...env, KUBECONFIG: kubeconfig, PILOTBOAT_LOOPBACK_ONLY: "false" };
    await using command = start(runtime, gateway("edge"), { env: open });
    const lines = await curlLines(command);
    expect(lines.filter((line) => !line.includes(" web.example.com:"))).toEqual([]);
    expect(command.stderr()).toMatch(
      /^ +not shown +you may not list VirtualServices of all namespaces: .*"t-\w+" are missing$/m,
    );
    expect(command.stderr()).not.toContain("open to this machine alone");
    expect(await listeners(command)).toContain(`0.0.0.0:${ports.secure}`);
    const later = createServer();
    await new Promise<void>((done) => later.listen(0, "0.0.0.0", done));
    const { port } = later.address() as AddressInfo;
    const [edge] = (await istioGateway()).filter(({ kind }) => kind === "Gateway") as [KubeObject];
    const server = { port: { number: port, name: "later", protocol: "HTTP" }, hosts: ["*.example.com"] };
    await cluster.apply({ ...edge, spec: { ...edge.spec, servers: [...edge.spec.servers, server] } });
    await command.waitFor(new RegExp(`^ +moved +0\\.0\\.0\\.0:${port} is at \\d+: taken$`, "m"));
    await cluster.apply(edge);
    later.close();
  });

  test("account and labels are those of the gateway's pod", async () => {
    const { code, stdout } = await run(runtime, gateway("edge", "--dry-run", "-o", "json"), { env });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).presents).toMatchObject({
      id: `router~10.9.1.1~edge.${cluster.namespace}~${cluster.namespace}.svc.cluster.local`,
      ...{ serviceAccount: "edge", labels: { edge: cluster.namespace } },
    });
  });

  test("the printed curl line of a Gateway of the Gateway API answers 200", async () => {
    const crds = await gatewayApiCrds();
    if (crds === undefined) {
      console.warn("not tested here: the module of the Gateway API was never downloaded");
      return;
    }
    for (const crd of crds) await cluster.api.apply(crd);
    for (const { metadata } of crds) {
      const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`;
      await cluster.api.until(path, isEstablished);
    }
    for (const object of apiGateway()) await cluster.apply(object);
    await using command = start(runtime, gateway("api"), { env });
    await command.waitFor(/the proxy is ready after/);
    const [line = ""] = await curlLines(command);
    await expect.poll(() => runLine(line), { timeout: 60_000 }).toMatch(/^HTTP\/\S+ 200/);
    expect(await runLine(line)).toContain(spiffe("api-istio"));
  });

  test("one that is not there: near names are told", async () => {
    const { code, stderr } = await run(runtime, gateway("edgy"), { env });
    expect(stderr).toMatch(/"edgy".*there is "edge"/);
    expect(code).toBe(1);
  });

  async function istioGateway(): Promise<readonly KubeObject[]> {
    const { certPem, keyPem } = await (await createTestCa("edge")).issue({ dns: ["web.example.com"] });
    const labels = { edge: cluster.namespace };
    const annotations = { "cluster.test/address": "10.9.1.1" };
    const rbac = "rbac.authorization.k8s.io";
    const destination = { host: `web.${cluster.namespace}.svc.cluster.local` };
    return [
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "edge" } },
      {
        ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "edge", labels, annotations } },
        spec: {
          serviceAccountName: "edge",
          containers: [{ name: "istio-proxy", image: "none", args: ["proxy", "router"] }],
        },
      },
      {
        ...{ apiVersion: `${rbac}/v1`, kind: "Role", metadata: { name: "secrets" } },
        rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["get", "watch", "list"] }],
      },
      {
        ...{ apiVersion: `${rbac}/v1`, kind: "RoleBinding", metadata: { name: "secrets" } },
        roleRef: { apiGroup: rbac, kind: "Role", name: "secrets" },
        subjects: [{ kind: "ServiceAccount", name: "edge", namespace: cluster.namespace }],
      },
      {
        ...{ apiVersion: "v1", kind: "Secret", type: "kubernetes.io/tls", metadata: { name: "edge-cert" } },
        stringData: { "tls.crt": certPem, "tls.key": keyPem },
      },
      {
        ...{ apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "edge" } },
        spec: {
          selector: labels,
          servers: [
            { port: { number: ports.gateway, name: "http", protocol: "HTTP" }, hosts: ["*.example.com"] },
            {
              port: { number: ports.secure, name: "https", protocol: "HTTPS" },
              ...{ hosts: ["*.example.com"], tls: { mode: "SIMPLE", credentialName: "edge-cert" } },
            },
          ],
        },
      },
      {
        ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "edge" } },
        spec: { hosts: ["web.example.com"], gateways: ["edge"], http: [{ route: [{ destination }] }] },
      },
      {
        ...{
          apiVersion: "networking.istio.io/v1",
          kind: "VirtualService",
          metadata: { name: "edge", namespace: away() },
        },
        spec: {
          hosts: ["away.example.com"],
          gateways: [`${cluster.namespace}/edge`],
          http: [{ route: [{ destination }] }],
        },
      },
    ];
  }

  /** With the Service and the account that istiod's own controller would make. */
  function apiGateway(): readonly KubeObject[] {
    const apiVersion = "gateway.networking.k8s.io/v1";
    const selector = { "gateway.networking.k8s.io/gateway-name": "api" };
    const http = { name: "http", protocol: "HTTP", port: ports.api };
    return [
      {
        apiVersion,
        kind: "GatewayClass",
        metadata: { name: "istio" },
        spec: { controllerName: "istio.io/gateway-controller" },
      },
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "api-istio" } },
      {
        ...{ apiVersion: "v1", kind: "Service", metadata: { name: "api-istio" } },
        spec: { selector, ports: [{ name: "http", port: ports.api }] },
      },
      {
        apiVersion,
        kind: "Gateway",
        metadata: { name: "api" },
        spec: { gatewayClassName: "istio", listeners: [http] },
      },
      {
        ...{ apiVersion, kind: "HTTPRoute", metadata: { name: "api" } },
        spec: {
          ...{ parentRefs: [{ name: "api" }], hostnames: ["api.example.com"] },
          rules: [{ backendRefs: [{ name: "web", port: ports.service }] }],
        },
      },
    ];
  }
});

/** What is printed when the gateway is ready. */
async function curlLines(command: RunningCommand): Promise<readonly string[]> {
  await command.waitFor(/envoy metrics/);
  return [...command.stderr().matchAll(/^ +try +(curl .*)$/gm)].map(([, line = ""]) => line);
}

/** `ADDRESS:PORT` of all listeners that Envoy has. */
async function listeners(command: RunningCommand): Promise<readonly string[]> {
  const [, admin = ""] = await command.waitFor(/envoy admin +http:\/\/127\.0\.0\.1:(\d+)/);
  const text = await (await fetch(`http://127.0.0.1:${admin}/listeners`)).text();
  return text.split("\n").map((line) => line.slice(line.indexOf("::") + 2));
}

/** As somebody who pastes it. */
async function runLine(line: string): Promise<string> {
  const { stdout } = await promisify(execFile)("sh", ["-c", `${line} --silent --max-time 10`]).catch((error) => error);
  return String(stdout);
}

function isEstablished({ status }: KubeObject): boolean {
  const conditions = (status?.conditions ?? []) as readonly { type: string; status: string }[];
  return conditions.some((one) => one.type === "Established" && one.status === "True");
}
