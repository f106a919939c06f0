import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { type RunningCommand, run, runtimes, start } from "../support/pilotboat.ts";
import { type Fault, type FaultyApi, startFaultyApi } from "./faulty-api.ts";
import type { KubeObject } from "./kube-api.ts";
import { type Cluster, hasCluster, startCluster } from "./start-cluster.ts";

/** A Service whose endpoints a controller writes, and one whose endpoints somebody wrote by hand. */
const SELECTED = [] as const;
const MANUAL = ["--revision", "manual"] as const;
const ADDRESS = "10.77.0.1";

const FAULTS: readonly (readonly [name: string, fault: Fault])[] = [
  ["cut", "cut"],
  ["cut in the middle of each answer", "half"],
  ["refused with 409", status(409, "the object has been modified")],
  ["refused with 500", status(500, "etcd is away")],
];

/** The calls of a run, in their order. */
const CALLS: readonly RegExp[] = [
  /^GET .*\/services\/istiod-manual$/,
  /^GET .*\/endpointslices\?/,
  /^GET .*\/endpoints\//,
  /^PATCH .*\/services\//,
  /^POST .*\/endpointslices$/,
  /^DELETE .*\/endpoints\//,
  /^DELETE .*\/endpointslices\//,
];

describe.runIf(hasCluster()).each(runtimes())(
  "an istiod Service that leads to this machine, on $name",
  { timeout: 180_000 },
  (runtime) => {
    let cluster: Cluster;
    let api: FaultyApi;
    let folder: string;
    let env: Record<string, string>;
    let before: Readonly<Record<"istiod" | "istiod-manual", Place>>;

    beforeAll(async () => {
      cluster = await startCluster();
      api = await startFaultyApi(cluster);
      folder = await mkdtemp(join(tmpdir(), "pb-local-istiod-"));
      env = { KUBECONFIG: join(folder, "kubeconfig"), XDG_STATE_HOME: join(folder, "state") };
      await writeFile(join(folder, "kubeconfig"), api.kubeconfig, { mode: 0o600 });
      for (const object of objects()) await cluster.apply(object);
      await cluster.api.until(slicesPath(cluster, "istiod"), ({ items }) => items[0]?.endpoints?.length === 2);
      before = { istiod: await lookAt(cluster, "istiod"), "istiod-manual": await lookAt(cluster, "istiod-manual") };
    }, 300_000);
    afterEach(() => api.mend());
    afterAll(async () => {
      await api?.[Symbol.asyncDispose]();
      await cluster?.[Symbol.asyncDispose]();
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    });

    const words = (...more: readonly string[]) => [
      "use-local-istiod",
      "--istio-namespace",
      cluster.namespace,
      "--request-timeout",
      "2s",
      ...more,
    ];
    const lead = (...more: readonly string[]) =>
      start(runtime, words("--address", ADDRESS, "-o", "json", ...more), { env });
    const restore = (...more: readonly string[]) => run(runtime, words("--restore", ...more), { env });
    const savedFiles = () => readdir(join(folder, "state/pilotboat/local-istiod")).catch(() => []);
    const expectAsBefore = async () => {
      for (const name of ["istiod", "istiod-manual"] as const)
        await expect.poll(() => lookAt(cluster, name), { timeout: 30_000 }).toEqual(before[name]);
      expect(await savedFiles()).toEqual([]);
    };

    test.each([
      ["a controller writes", SELECTED, "istiod"],
      ["nobody writes again", MANUAL, "istiod-manual"],
    ] as const)("there and back, with endpoints that %s", async (_name, flags, name) => {
      await using command = lead("--port", "25012", ...flags);
      await command.waitFor(/^}$/m);
      expect(JSON.parse(command.stdout())).toMatchObject({
        service: name,
        address: ADDRESS,
        ports: { "https-dns": 25_012 },
      });
      const { service, slices, endpoints } = await lookAt(cluster, name);
      expect(service.spec).toEqual({ ...before[name].service.spec, selector: undefined });
      expect(slices).toHaveLength(1);
      expect(slices[0]).toMatchObject({
        addressType: "IPv4",
        endpoints: [{ addresses: [ADDRESS], conditions: { ready: true } }],
        metadata: { labels: { "kubernetes.io/service-name": name } },
        ports: expect.arrayContaining([expect.objectContaining({ name: "https-dns", port: 25_012 })]),
      });
      expect(endpoints).toBeUndefined();
      const [file = ""] = await savedFiles();
      expect((await stat(join(folder, "state/pilotboat/local-istiod", file))).mode & 0o777).toBe(0o600);
      command.kill("SIGINT");
      expect((await command.ended).code).toBe(0);
      await expectAsBefore();
    });

    test.each([
      ["when it leads here", SELECTED, undefined],
      ["when it leads here, by hand", MANUAL, undefined],
      ["when the selector is gone and nothing else is done", SELECTED, /^POST .*\/endpointslices$/],
      ["before anything is changed", SELECTED, /^PATCH .*\/services\//],
    ] as const)("killed %s: --restore puts it back, and may be repeated", async (_name, flags, at) => {
      if (at !== undefined) api.break(at, "hang");
      await using command = lead("--request-timeout", "60s", ...flags);
      if (at === undefined) await command.waitFor(/^}$/m);
      else await expect.poll(() => api.seen.at(-1), { timeout: 30_000 }).toMatch(at);
      command.kill("SIGKILL");
      await command.ended;
      api.mend();
      expect(await savedFiles()).toHaveLength(1);
      expect(await restore(...flags)).toMatchObject({ code: 0, stdout: expect.stringMatching(/is as before\n$/) });
      await expectAsBefore();
      expect(await restore(...flags)).toMatchObject({ code: 0, stdout: expect.stringMatching(/nothing to put back/) });
      await expectAsBefore();
    });

    test("a second one is refused, here and on another machine, and does no harm", async () => {
      await using first = lead();
      await first.waitFor(/^}$/m);
      const led = await lookAt(cluster, "istiod");
      const elsewhere = { ...env, XDG_STATE_HOME: join(folder, "other") };
      const here = await run(runtime, words("--address", "10.77.0.2"), { env });
      expect(here).toMatchObject({ code: 1, stdout: "" });
      expect(here.stderr).toMatch(
        /leads to a machine already: this machine has saved .*\[LOCAL_ISTIOD_IN_USE\]\n {2}hint: .*--restore/,
      );
      const there = await run(runtime, words("--address", "10.77.0.2"), { env: elsewhere });
      expect(there.stderr).toMatch(/leads to a machine already: ".+" has it since \d{4}-.*\[LOCAL_ISTIOD_IN_USE\]/);
      expect((await restore()).stderr).toMatch(new RegExp(`process ${first.pid} of this machine holds it`));
      const foreign = await run(runtime, words("--restore"), { env: elsewhere });
      expect(foreign.stderr).toMatch(
        /what it was is saved there .*\n {2}hint: .*kubectl -n .* patch service istiod .*"app":"istiod"/,
      );
      expect(await lookAt(cluster, "istiod")).toEqual(led);
      await end(first);
      await expectAsBefore();
    });

    describe("killed, and then the Service is changed: --restore", () => {
      const servicePath = (name: string) => `/api/v1/namespaces/${cluster.namespace}/services/${name}`;
      const annotate = (name: string, claim: unknown) =>
        cluster.api.patch(servicePath(name), {
          metadata: { annotations: { "pilotboat/local-istiod": claim === null ? null : JSON.stringify(claim) } },
        });
      const leave = async (...flags: readonly string[]) => {
        await using command = lead(...flags);
        await command.waitFor(/^}$/m);
        command.kill("SIGKILL");
        await command.ended;
      };
      const other = { id: "1", host: "laptop-of-jane", since: "2026-01-01T00:00:00Z" };

      test.each([
        ["istiod", SELECTED],
        ["istiod-manual", MANUAL],
      ] as const)("names the other machine that has %s, and keeps what is saved", async (name, flags) => {
        await leave(...flags);
        await annotate(name, other);
        const led = await lookAt(cluster, name);
        const { code, stdout, stderr } = await restore(...flags);
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
        expect(stderr).toMatch(
          /"laptop-of-jane" has it since 2026-01-01T00:00:00Z \[LOCAL_ISTIOD_IN_USE\]\n {2}hint: /,
        );
        expect(await lookAt(cluster, name)).toEqual(led);
        expect(await savedFiles()).toHaveLength(1);
        await annotate(name, null);
        expect(await restore(...flags)).toMatchObject({ code: 0, stdout: expect.stringMatching(/is as before\n$/) });
        await expectAsBefore();
      });

      test("puts it back when it leads elsewhere by hand no more, and keeps what is saved until then", async () => {
        await leave();
        await annotate("istiod", null);
        await cluster.apply(sliceByHand("elsewhere", "istiod"));
        const refused = await restore();
        expect(refused).toMatchObject({ code: 1, stdout: "" });
        expect(refused.stderr).toMatch(/EndpointSlice "elsewhere" leads it elsewhere \[KUBE_CONFLICT\]/);
        expect(await savedFiles()).toHaveLength(1);
        await removeSlice("elsewhere");
        expect(await restore()).toMatchObject({ code: 0 });
        await expectAsBefore();
      });

      test("says that a selector of somebody else stays", async () => {
        await leave();
        await cluster.api.patch(servicePath("istiod"), { spec: { selector: { app: "other" } } });
        const { code, stdout } = await restore();
        expect({ code, stdout }).toEqual({
          code: 0,
          stdout: expect.stringMatching(/a selector that somebody has set/),
        });
        await cluster.api.patch(servicePath("istiod"), { spec: { selector: { app: "istiod" } } });
        await expectAsBefore();
      });
    });

    test("an annotation that another machine has taken ends it, names that one, and keeps what is saved", async () => {
      await using command = lead();
      await command.waitFor(/^}$/m);
      const path = `/api/v1/namespaces/${cluster.namespace}/services/istiod`;
      const claim = JSON.stringify({ id: "1", host: "laptop-of-jane", since: "2026-01-01T00:00:00Z" });
      await cluster.api.patch(path, { metadata: { annotations: { "pilotboat/local-istiod": claim } } });
      expect((await command.ended).code).toBe(1);
      expect(command.stderr()).toMatch(/"laptop-of-jane" has it .*\[LOCAL_ISTIOD_IN_USE\]\n {2}hint: .*--restore/);
      expect(await savedFiles()).toHaveLength(1);
      await cluster.api.patch(path, { metadata: { annotations: { "pilotboat/local-istiod": null } } });
      expect(await restore()).toMatchObject({ code: 0 });
      await expectAsBefore();
    });

    test.each([
      ["with a selector", SELECTED, "istiod"],
      ["by hand", MANUAL, "istiod-manual"],
    ] as const)(
      "slices that somebody makes or changes while it leads here come back, %s",
      async (_name, flags, name) => {
        await using command = lead(...flags);
        await command.waitFor(/^}$/m);
        await cluster.apply(sliceByHand("meanwhile", name));
        if (name === "istiod-manual") await cluster.apply(endpointsByHand("10.66.0.9"));
        const there = await lookAt(cluster, name);
        await expect.poll(async () => (await lookAt(cluster, name)).slices.length, { timeout: 30_000 }).toBe(1);
        expect((await lookAt(cluster, name)).endpoints).toBeUndefined();
        await end(command);
        const after = await lookAt(cluster, name);
        expect(after.slices.find(hasName("meanwhile"))).toEqual(there.slices.find(hasName("meanwhile")));
        if (name === "istiod-manual") expect(after.endpoints).toEqual(there.endpoints);
        await removeSlice("meanwhile");
        for (const object of objects()) await cluster.apply(object);
        await expectAsBefore();
      },
    );

    test("a selector that somebody sets in the meantime ends it, and stays", async () => {
      await using command = lead();
      await command.waitFor(/^}$/m);
      const { service } = before.istiod;
      await cluster.apply({
        ...service,
        metadata: { name: "istiod" },
        spec: { ...service.spec, selector: { app: "other" } },
      });
      expect((await command.ended).code).toBe(1);
      expect(command.stderr()).toMatch(/does not lead here any more: somebody has put it back .*\[KUBE_CONFLICT\]/);
      expect((await lookAt(cluster, "istiod")).service.spec.selector).toEqual({ app: "other" });
      for (const object of objects()) await cluster.apply(object);
      await expectAsBefore();
    });

    test("an address that is not known is asked for, and nothing is changed", async () => {
      const { code, stderr } = await run(runtime, words(), { env });
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: expect.stringMatching(/Cannot find the address .*\n {2}hint: .*--address/),
      });
      await expectAsBefore();
    });

    test("the Role of docs/cluster.md is enough, and without it verb and resource are named", async () => {
      const jane = { ...env, KUBECONFIG: await userWithoutRights() };
      const lacking = await run(runtime, words("--address", ADDRESS), { env: jane });
      expect(lacking.stderr).toMatch(/may not "get" "services" \[KUBE_FORBIDDEN\]\n {2}hint: It takes a Role/);
      await grantDocumented();
      await expect
        .poll(async () => (await run(runtime, words("--restore"), { env: jane })).code, { timeout: 30_000 })
        .toBe(0);
      await using command = start(runtime, words("--address", ADDRESS, "-o", "json"), { env: jane });
      await command.waitFor(/^}$/m);
      await end(command);
      await expectAsBefore();
    });

    test("a context that looks like production is asked about: without an answer nothing is changed", async () => {
      const production = { ...env, KUBECONFIG: join(folder, "kubeconfig-production") };
      await writeFile(production.KUBECONFIG, api.kubeconfig.replaceAll('"faulty"', '"prod-eu"'), { mode: 0o600 });
      const refused = await run(runtime, words("--address", ADDRESS), { env: production });
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toMatch(
        /Did not lead Service "istiod" .* to this machine: context "prod-eu" .*\[NOT_CONFIRMED\]/,
      );
      await expectAsBefore();
      await using sure = start(runtime, words("--address", ADDRESS, "--yes", "-o", "json"), { env: production });
      await sure.waitFor(/^}$/m);
      await end(sure);
      await expectAsBefore();
    });

    describe.each(CALLS)("a call %s", (call) => {
      test.each(FAULTS)("that is %s leaves all as before, or says how to put it back", async (_name, fault) => {
        api.break(call, fault);
        const { code, stderr, stdout } = await run(runtime, words("--address", ADDRESS, "-o", "json", ...MANUAL), {
          env,
        });
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
        api.mend();
        const [, hint = ""] = /hint: Put it back: pilotboat (.*)/.exec(stderr) ?? [];
        if (hint !== "")
          expect(await run(runtime, [...hint.split(" "), "--request-timeout", "2s"], { env })).toMatchObject({
            code: 0,
          });
        await expectAsBefore();
      });

      test("that is cut in the middle of its answer is made again", async () => {
        api.break(call, "half", 1);
        await using command = lead(...MANUAL);
        await command.waitFor(/^}$/m);
        expect((await lookAt(cluster, "istiod-manual")).slices).toHaveLength(1);
        await end(command);
        await expectAsBefore();
      });
    });

    async function removeSlice(name: string): Promise<void> {
      await cluster.api.delete(`/apis/discovery.k8s.io/v1/namespaces/${cluster.namespace}/endpointslices/${name}`);
    }

    async function userWithoutRights(): Promise<string> {
      await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "jane" } });
      const token = await cluster.token("jane", { audience: "https://kubernetes.default.svc.cluster.local" });
      const file = join(folder, "kubeconfig-jane");
      const config = { ...JSON.parse(api.kubeconfig), users: [{ name: "admin", user: { token } }] };
      await writeFile(file, JSON.stringify(config), { mode: 0o600 });
      return file;
    }

    async function grantDocumented(): Promise<void> {
      const [, yaml = ""] = /```yaml\n([\s\S]*?)```/.exec(await readFile("docs/cluster.md", "utf8")) ?? [];
      const roles = parseAllDocuments(yaml).map((document) => document.toJS() as KubeObject);
      const role = roles.find(({ metadata }) => metadata.name === "pilotboat-use-local-istiod");
      if (role === undefined) throw new Error("docs/cluster.md has no such Role");
      await cluster.apply({ ...role, metadata: { name: role.metadata.name } });
      await cluster.apply({
        apiVersion: role.apiVersion,
        kind: "RoleBinding",
        metadata: { name: "jane" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: role.metadata.name },
        subjects: [{ kind: "ServiceAccount", name: "jane", namespace: cluster.namespace }],
      });
    }

    function objects(): readonly KubeObject[] {
      const labels = { app: "istiod" };
      const ports = [
        { name: "grpc-xds", port: 15_010, protocol: "TCP", targetPort: 15_010 },
        { name: "https-dns", port: 15_012, protocol: "TCP", targetPort: 15_012 },
        { name: "https-webhook", port: 443, protocol: "TCP", targetPort: 15_017 },
      ];
      const pod = (name: string): KubeObject => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, labels },
        spec: { containers: [{ name: "discovery", image: "none" }] },
      });
      return [
        pod("istiod-0"),
        pod("istiod-1"),
        { apiVersion: "v1", kind: "Service", metadata: { name: "istiod", labels }, spec: { selector: labels, ports } },
        { apiVersion: "v1", kind: "Service", metadata: { name: "istiod-manual" }, spec: { ports: [ports[1]] } },
        endpointsByHand("10.66.0.1"),
        sliceByHand("istiod-by-hand", "istiod-manual"),
      ];
    }
  },
);

function endpointsByHand(ip: string): KubeObject {
  const subsets = [{ addresses: [{ ip }], ports: [{ name: "https-dns", port: 15_012 }] }];
  return { apiVersion: "v1", kind: "Endpoints", metadata: { name: "istiod-manual" }, subsets };
}

function sliceByHand(name: string, service: string): KubeObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, labels: { "kubernetes.io/service-name": service, by: "hand" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.66.0.1"] }],
    ports: [{ name: "https-dns", port: 15_012, protocol: "TCP" }],
  };
}

const hasName = (name: string) => (object: KubeObject) => object.metadata.name === name;

async function end(command: RunningCommand): Promise<void> {
  command.kill("SIGTERM");
  expect(await command.ended).toMatchObject({ code: 0 });
}

interface Place {
  readonly service: KubeObject;
  readonly slices: readonly KubeObject[];
  readonly endpoints: KubeObject | undefined;
}

/**
 * A Service and all its endpoints in the order of their names, without what the API server writes at each change. A slice
 * that a controller writes anew has a new name.
 */
async function lookAt(cluster: Cluster, name: string): Promise<Place> {
  const inside = `/api/v1/namespaces/${cluster.namespace}`;
  const [service, { items }, endpoints] = await Promise.all([
    cluster.api.get(`${inside}/services/${name}`),
    cluster.api.get(slicesPath(cluster, name)),
    cluster.api.get(`${inside}/endpoints/${name}`).catch(() => undefined),
  ]);
  const slices = (items as KubeObject[]).map((slice) =>
    lasting(slice, isControlled(slice) ? ["name", ...NEW_AT_CREATION] : NEW_AT_CREATION),
  );
  return {
    service: lasting(service, []),
    slices,
    endpoints: endpoints && lasting(endpoints, ["uid", "creationTimestamp"]),
  };
}

function isControlled({ metadata }: KubeObject): boolean {
  const { ownerReferences = [] } = metadata as { readonly ownerReferences?: readonly { controller?: boolean }[] };
  return ownerReferences.some(({ controller }) => controller === true);
}

const NEW_AT_CREATION = ["uid", "creationTimestamp", "generation"];

function lasting(object: KubeObject, more: readonly string[]): KubeObject {
  const dropped = ["resourceVersion", "managedFields", ...more];
  const kept = Object.entries(object.metadata).filter(([name]) => !dropped.includes(name));
  return { ...object, metadata: Object.fromEntries(kept) as KubeObject["metadata"] };
}

function slicesPath({ namespace }: Cluster, name: string): string {
  return `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D${name}`;
}

function status(code: number, message: string): Fault {
  return { status: code, body: JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", message, code }) };
}
