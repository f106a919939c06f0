import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLogger, silentLogger } from "../../src/base/index.ts";
import { gatherFacts } from "../../src/node/index.ts";
import { isUsableAddress } from "../../src/node/ip.ts";
import { UNKNOWN_PLATFORM } from "../../src/node/node-types.ts";
import { discoverPlatform, type PlatformWords } from "../../src/node/platform/discover.ts";
import { localityOfZone } from "../../src/node/platform/gcp.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-platform-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Server extends AsyncDisposable {
  readonly base: string;
  readonly calls: { readonly line: string; readonly headers: Readonly<Record<string, unknown>> }[];
}

async function startServer(answers: Readonly<Record<string, string>>, flavor = false): Promise<Server> {
  const calls: Server["calls"] = [];
  const server = createServer((request, response) => {
    calls.push({ line: `${request.method} ${request.url}`, headers: request.headers });
    const body = answers[`${request.method} ${request.url}`];
    if (flavor) response.setHeader("Metadata-Flavor", "Google");
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

const discover = async (words: Partial<PlatformWords>, base: string, vendor = "") => {
  await writeFile(join(folder, "sys_vendor"), vendor);
  return discoverPlatform({
    cloud: "",
    gcpMetadata: "",
    gcpQuotaProject: "",
    gcpZone: "",
    gceMetadataHost: undefined,
    hasKubernetes: false,
    isIpv6: false,
    places: { metadata: base, awsIpv6: base, dmi: folder, resolvConf: join(folder, "resolv.conf"), computeApi: base },
    ...words,
  });
};

const AWS = {
  "PUT /latest/api/token": "session",
  "GET /latest/meta-data/iam/info": '{"InstanceProfileArn":"arn:aws:iam::1:x"}',
  "GET /latest/meta-data/placement/region": "us-west-2",
  "GET /latest/meta-data/placement/availability-zone": "us-west-2b",
  "GET /latest/meta-data/instance-id": "i-1",
};

test("nobody is asked on a machine of no cloud's make, nor when the platform is none", async () => {
  await using server = await startServer(AWS);
  expect(await discover({}, server.base, "LENOVO")).toEqual(UNKNOWN_PLATFORM);
  expect(await discover({ cloud: "NONE" }, server.base, "Amazon EC2")).toEqual(UNKNOWN_PLATFORM);
  expect(server.calls).toEqual([]);
});

test("AWS: session token, region, zone and instance", async () => {
  await using server = await startServer(AWS);
  expect(await discover({}, server.base, "Amazon EC2")).toMatchObject({
    metadata: { aws_region: "us-west-2", aws_availability_zone: "us-west-2b", aws_instance_id: "i-1" },
    locality: { region: "us-west-2", zone: "us-west-2b", subZone: "" },
  });
  const asked = server.calls.find(({ line }) => line.endsWith("instance-id"));
  expect(asked?.headers["x-aws-ec2-metadata-token"]).toBe("session");
});

test("AWS without the second version of the service is asked without a token; empty values are left out", async () => {
  const { "PUT /latest/api/token": _, "GET /latest/meta-data/instance-id": __, ...older } = AWS;
  await using server = await startServer(older);
  expect((await discover({ cloud: "aws" }, server.base)).metadata).toEqual({
    aws_region: "us-west-2",
    aws_availability_zone: "us-west-2b",
  });
});

test.each([
  [
    { tags: "Department:IT;Environment:Prod;Role:a:b;Bare" },
    { azure_Department: "IT", azure_Environment: "Prod", azure_Role: "a:b", azure_Bare: "" },
  ],
  [
    { tagsList: [{ name: "Role", value: "WorkerRole; OtherWorker" }], tags: "x:y" },
    { azure_Role: "WorkerRole; OtherWorker" },
  ],
])("Azure: the newest version, name, location and tags %j", async (tags, expected) => {
  await using server = await startServer({
    "GET /metadata/instance": '{"error":"x","newest-versions":["2018-01-01","2021-12-13"]}',
    "GET /metadata/instance?api-version=2021-12-13": JSON.stringify({
      compute: { name: "n", location: "centralus", zone: "2", vmId: "v", ...tags },
    }),
  });
  expect(await discover({}, server.base, "Microsoft Corporation\n")).toMatchObject({
    metadata: { azure_name: "n", azure_location: "centralus", azure_vmId: "v", ...expected },
    locality: { region: "centralus", zone: "2" },
  });
});

test("GCP: what the variable says needs no server", async () => {
  const words = { gcpMetadata: "proj|123|cluster|us-central1", gcpZone: "us-central1-f", gcpQuotaProject: "q" };
  const platform = await discover(words, "http://127.0.0.1:9");
  expect(platform.metadata).toEqual({
    gcp_project: "proj",
    gcp_project_number: "123",
    gcp_gke_cluster_name: "cluster",
    gcp_location: "us-central1",
    gcp_quota_project: "q",
    gcp_zone: "us-central1-f",
    gcp_gke_cluster_url: "https://container.googleapis.com/v1/projects/proj/locations/us-central1/clusters/cluster",
  });
  expect(platform.locality).toEqual({ region: "us-central1", zone: "us-central1-f", subZone: "" });
});

test("GCP: the server is asked with its flavor, the zone comes from resolv.conf first", async () => {
  await using server = await startServer(
    {
      "GET /": "",
      "GET /computeMetadata/v1/project/project-id": "proj",
      "GET /computeMetadata/v1/instance/zone": "projects/1/zones/europe-west1-b",
      "GET /computeMetadata/v1/instance/name": "vm",
    },
    true,
  );
  await writeFile(join(folder, "resolv.conf"), "nameserver 1.1.1.1\nsearch a us-central1-f.c.test-proj.internal \n");
  const platform = await discover({}, server.base, "Google");
  expect(platform.metadata).toEqual({ gcp_project: "proj", gcp_location: "europe-west1-b", gcp_gce_instance: "vm" });
  expect(platform.locality.zone).toBe("us-central1-f");
  expect(platform.isKubernetes).toBe(false);
  expect(server.calls.every(({ headers }) => headers["metadata-flavor"] === "Google")).toBe(true);
});

test("GCP outside Kubernetes: the labels of the instance come with its own credentials", async () => {
  const token = "/computeMetadata/v1/instance/service-accounts/default/token";
  const answers = {
    "GET /computeMetadata/v1/project/project-id": "proj",
    "GET /computeMetadata/v1/instance/zone": "projects/1/zones/europe-west1-b",
    "GET /computeMetadata/v1/instance/name": "vm",
    [`GET ${token}?scopes=https://www.googleapis.com/auth/compute.readonly`]: '{"access_token":"t0ken"}',
    "GET /compute/v1/projects/proj/zones/europe-west1-b/instances/vm": '{"labels":{"team":"a","odd":1}}',
  };
  await using server = await startServer(answers);
  expect((await discover({ cloud: "gcp" }, server.base)).labels).toEqual({ team: "a", odd: "" });
  expect(server.calls.find(({ line }) => line.includes("/compute/v1/"))?.headers.authorization).toBe("Bearer t0ken");
  expect((await discover({ cloud: "gcp", hasKubernetes: true }, server.base)).labels).toEqual({});
});

test("a metadata host that is no host is no answer", async () => {
  const { metadata } = await discover({ gceMetadataHost: "a b" }, "http://127.0.0.1:9");
  expect(metadata).toEqual({});
});

test.each(['{"compute":null}', '{"compute":{"tagsList":[null,{"name":1},7],"name":5}}', "[]", "null", '"x"'])(
  "Azure's answer %s is taken for what it holds",
  async (body) => {
    const versions = '{"newest-versions":[null,1,"2021-12-13"]}';
    const asked = { "GET /metadata/instance": versions, "GET /metadata/instance?api-version=2021-12-13": body };
    await using server = await startServer(asked);
    expect((await discover({ cloud: "azure" }, server.base)).metadata).toEqual({});
  },
);

test.each(["gcp", "azure", ""])(
  "a server that never answers costs one limit, not one for each question (%s)",
  async (cloud) => {
    const silent = createServer(() => undefined);
    await new Promise<void>((done) => silent.listen(0, "127.0.0.1", done));
    const base = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const startedMs = performance.now();
    await discover({ cloud, limitMs: 300 }, base, "Google");
    expect(performance.now() - startedMs).toBeLessThan(4_000); // each question alone has five seconds
    silent.closeAllConnections();
    silent.close();
  },
);

test("an older EC2 machine is known by its BIOS, and a pod that sees no vendor asks", async () => {
  await using server = await startServer(AWS);
  await writeFile(join(folder, "bios_version"), "4.11.amazon\n");
  expect((await discover({}, server.base, "Xen\n")).metadata.aws_region).toBe("us-west-2");
  const places = { metadata: server.base, awsIpv6: server.base, dmi: join(folder, "none") };
  expect((await discover({ hasKubernetes: true, places }, server.base)).metadata.aws_region).toBe("us-west-2");
  expect(await discover({ places }, server.base)).toEqual(UNKNOWN_PLATFORM);
});

test("a proxy with an IPv6 address beside others asks over IPv6", async () => {
  const asked: boolean[] = [];
  const ask = async (instanceIp: string) => {
    const platform = async (isIpv6: boolean) => {
      asked.push(isIpv6);
      return UNKNOWN_PLATFORM;
    };
    const words = { cwd: folder, podAnnotations: undefined, hasCredentialSocket: false, hasExternalSds: false };
    await gatherFacts({ ...words, instanceIp, platform, log: silentLogger }, new AbortController().signal);
  };
  await ask("2001:db8::7");
  const others = Object.values(networkInterfaces()).flatMap((list = []) => list.filter(({ internal }) => !internal));
  await ask("10.0.0.1");
  const isMixed =
    others.length === 0 || others.some(({ address }) => isUsableAddress(address) && address.includes(":"));
  expect(asked).toEqual([true, isMixed]);
});

test("an interface to exclude that is not there is told", async () => {
  const lines: string[] = [];
  const annotation = new Map([["traffic.sidecar.istio.io/excludeInterfaces", "lo,nosuch0"]]);
  const words = { cwd: folder, podAnnotations: annotation, hasCredentialSocket: false, hasExternalSds: false };
  const log = createLogger({ write: (line) => void lines.push(line) });
  const platform = async () => UNKNOWN_PLATFORM;
  await gatherFacts({ ...words, instanceIp: "", platform, log }, new AbortController().signal);
  expect(lines).toEqual([expect.stringMatching(/warn\t.*interface=nosuch0/)]);
});

test.each([
  ["us-central1-f", "us-central1"],
  ["us-central1", ""],
  ["", ""],
])("zone %j lies in %j", (zone, region) => {
  expect(localityOfZone(zone).region).toBe(region);
});
