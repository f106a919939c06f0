import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasCluster } from "../cluster/start-cluster.ts";
import { childrenOf } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { type InjectedPod, type InjectingCluster, startInjectingCluster, WEB } from "./injected-pods.ts";
import type { PodEvent } from "./kubelet.ts";
import { type Pod, startPod } from "./start-pod.ts";
import { builtImage, type Unpacked, unpackImage } from "./unpacked-image.ts";

// The image as the pods of a real istiod run it: their arguments, variables, volumes, probes and hooks are istiod's own,
// and a kubelet of ours reads them.

const isRoot = process.getuid?.() === 0;
describe.runIf(hasCluster() && isRoot)("the image in an injected pod", { timeout: 240_000 }, () => {
  let istio: InjectingCluster;
  let image: Unpacked;
  let folder: string;
  beforeAll(async () => {
    [istio, image] = await Promise.all([startInjectingCluster(), builtImage().then(unpackImage)]);
    folder = await mkdtemp(join(tmpdir(), "pb-pod-"));
  }, 600_000);
  afterAll(async () => {
    await image?.[Symbol.asyncDispose]();
    await istio?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  let count = 0;
  const SERVE = ["serve", `http://${WEB.address}/`];
  const run = async (pod: InjectedPod, app: readonly string[] = SERVE, from: Unpacked = image): Promise<Pod> => {
    const { cluster } = istio;
    await realEnvoy(); // the one in the image
    return startPod({
      ...{ folder: join(folder, String(count++)), image: from, pod, app },
      configMaps: { "istio-ca-root-cert": { "root-cert.pem": cluster.rootPem } },
      token: await cluster.token(pod.spec.serviceAccountName ?? "default"),
      istiod: cluster.discoveryAddress,
    });
  };

  test("native sidecar: rules, proxy, application; its traffic goes through Envoy; the application ends first", async () => {
    await using pod = await run(await istio.injected({ "sidecar.istio.io/nativeSidecar": "true" }));
    await pod.ready;
    expect(named(pod.events)).toEqual(expect.arrayContaining(["istio-proxy ready", "app ready"]));
    expectOrder(pod.events, "istio-init ended 0", "istio-proxy started", "istio-proxy startup passed", "app started");
    await expectConfined(pod);
    await expectCaptured(pod);
    await pod.terminate();
    expect(pod.command("app").stdout()).toContain("the last call: 200");
    expectOrder(pod.events, "istio-proxy preStop", "app ended 0", "istio-proxy SIGTERM", "istio-proxy ended 0");
    expect(named(pod.events).join()).not.toContain("SIGKILL");
  });

  test("the rules of the debug variant redirect the same way", async () => {
    await using debug = await unpackImage(await builtImage("debug"));
    await using pod = await run(await istio.injected({ "sidecar.istio.io/nativeSidecar": "true" }), SERVE, debug);
    await pod.ready;
    await expectConfined(pod);
    await expectCaptured(pod);
  });

  test("a job beside a sidecar that holds it back: postStart waits, and /quitquitquit lets the pod complete", async () => {
    const injected = await istio.injected(
      { "sidecar.istio.io/nativeSidecar": "false", "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true" },
      { restartPolicy: "Never" },
    );
    const [, job] = injected.spec.containers;
    expect(job?.name).toBe("app");
    await using pod = await run(injected, ["job", `http://${WEB.address}/`, "http://localhost:15020/quitquitquit"]);
    await pod.completed;
    expect(pod.command("app").stdout()).toContain("the job is done");
    expectOrder(pod.events, "istio-init ended 0", "istio-proxy started", "istio-proxy postStart", "app started");
    expect(named(pod.events)).toEqual(expect.arrayContaining(["app ended 0", "istio-proxy ended 0"]));
    expect(named(pod.events).join()).not.toMatch(/SIGTERM|SIGKILL/);
  });

  test("a job beside a native sidecar: the kubelet ends the sidecar once the job is done", async () => {
    const annotations = { "sidecar.istio.io/nativeSidecar": "true" };
    const injected = await istio.injected(annotations, { restartPolicy: "Never" });
    await using pod = await run(injected, ["job", `http://${WEB.address}/`]);
    await pod.completed;
    expectOrder(pod.events, "app ended 0", "istio-proxy SIGTERM", "istio-proxy ended 0");
  });

  /** As Istio's gateway chart has it. */
  const securityContext = {
    ...{ capabilities: { drop: ["ALL"] }, allowPrivilegeEscalation: false, privileged: false },
    ...{ readOnlyRootFilesystem: true, runAsUser: 1337, runAsGroup: 1337 },
  };
  const gateway = { spec: { containers: [{ name: "istio-proxy", image: "auto", resources: {}, securityContext }] } };
  const TEMPLATES: Readonly<Record<string, () => Promise<InjectedPod | undefined>>> = {
    gateway: () => istio.injected({ "inject.istio.io/templates": "gateway" }, gateway.spec),
    "kube-gateway": () => istio.ofGateway("istio"),
  };

  test.each(Object.entries(TEMPLATES))("the template %s becomes ready, and ends within its grace", async (_, make) => {
    const injected = await make();
    if (injected === undefined) return noGatewayApi();
    await using pod = await run(injected);
    await pod.ready;
    await expectConfined(pod);
    expect(await admin(pod, "stats?filter=update_rejected")).not.toMatch(/update_rejected: [1-9]/);
    expect((await pod.network.get(15_020, "/stats/prometheus")).text).toMatch(/^envoy_server_live\{\} 1$/m);
    await pod.terminate();
    expectOrder(pod.events, "istio-proxy ready", "istio-proxy SIGTERM", "istio-proxy ended 0");
    expect(named(pod.events).join()).not.toContain("SIGKILL");
  });

  test("the template waypoint says that it takes Istio's Envoy, which this image does not have", async () => {
    const injected = await istio.ofGateway("istio-waypoint");
    if (injected === undefined) return noGatewayApi();
    await using pod = await run(injected);
    await expect(pod.ready).rejects.toThrow(
      /as a waypoint.*\[ENVOY_LACKS_EXTENSION\]\n {2}hint: A waypoint takes Istio's/,
    );
    expect(pod.command("istio-proxy").stdout()).toContain("CA Endpoint istiod.istio-system.svc:15012");
    expect(named(pod.events)).toEqual(["istio-proxy started", "istio-proxy ended 1"]);
  });

  test("the template grpc-agent has a bootstrap and certificates for the application, and no Envoy", async () => {
    await using pod = await run(await istio.injected({ "inject.istio.io/templates": "grpc-agent" }));
    await pod.ready;
    expect(named(pod.events)).toEqual(expect.arrayContaining(["istio-proxy postStart", "istio-proxy ready"]));
    const root = `/proc/${pod.pidOf("istio-proxy")}/root`;
    const bootstrap = JSON.parse(await readFile(`${root}/etc/istio/proxy/grpc-bootstrap.json`, "utf8"));
    expect(bootstrap.xds_servers[0].server_uri).toBe("unix:///etc/istio/proxy/XDS");
    expect(bootstrap.node.metadata.GENERATOR).toBe("grpc");
    await expect.poll(() => readFile(`${root}/var/lib/istio/data/cert-chain.pem`, "utf8")).toContain("CERTIFICATE");
    expect(childrenOf(pod.pidOf("istio-proxy"))).toEqual([]);
    await pod.terminate();
    expect(named(pod.events)).toContain("istio-proxy ended 0");
  });

  test("the template grpc-simple wants nothing of the image", async () => {
    const { spec } = await istio.injected({ "inject.istio.io/templates": "grpc-simple" });
    const images = [...(spec.initContainers ?? []), ...spec.containers].map((one) => one.image);
    expect(images.filter((one) => one.includes("proxyv2"))).toEqual([]);
  });
});

/** The application's call to an address that leads nowhere arrives by Envoy, and so does a call to the application. */
async function expectCaptured(pod: Pod): Promise<void> {
  const { status, text } = JSON.parse((await pod.network.get(8_080, "/call")).text);
  expect(status).toBe(200);
  expect(JSON.parse(text).headers).toMatchObject({ "x-request-id": expect.stringMatching(/./) }); // Envoy's
  expect(await admin(pod, "clusters")).toMatch(
    /^outbound\|80\|\|web\.shop\.test::10\.99\.0\.1:9080::rq_success::[1-9]/m,
  );
  const remote = JSON.parse((await pod.network.get(8_080, "/")).text);
  expect(remote).toEqual({ remote: expect.stringMatching(/127\.0\.0\.6$/) }); // Envoy's, behind the inbound listener
}

function noGatewayApi(): void {
  console.warn("not tested here: the module of the Gateway API was never downloaded");
}

/** Nobody of the proxy's container has another user or a capability, and its root file system is as the pod wants it. */
async function expectConfined(pod: Pod): Promise<void> {
  const agent = pod.pidOf("istio-proxy");
  const all = [agent, ...childrenOf(agent)];
  expect(all.length).toBeGreaterThan(1);
  for (const pid of all) {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    expect(status).toMatch(/^Uid:\t1337\t1337\t1337\t1337$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
  }
  await expect(writeFile(`/proc/${agent}/root/etc/new`, "")).rejects.toMatchObject({ code: "EROFS" });
}

function admin(pod: Pod, path: string): Promise<string> {
  return pod.exec("istio-proxy", ["pilot-agent", "request", "GET", path]);
}

/** `istio-proxy ended 0` for each event. */
function named(events: readonly PodEvent[]): string[] {
  return events.map(({ container, what, end }) => [container, what, end?.code ?? end?.signal ?? ""].join(" ").trim());
}

function expectOrder(events: readonly PodEvent[], ...wanted: readonly string[]): void {
  expect(named(events).filter((one) => wanted.includes(one))).toEqual(wanted);
}
