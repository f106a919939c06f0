import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// What the start script of the Debian package makes of the variables that Istio's start script reads.

const run = promisify(execFile);
const NAMES = "INSTANCE_IP POD_NAME POD_NAMESPACE CA_ADDR PROV_CERT OUTPUT_CERTS PROXY_CONFIG".split(" ");

describe("the start script of a virtual machine", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-start-"));
    const programs = {
      pilotboat: `for word in "$@"; do echo "$word"; done; ${NAMES.map((name) => `echo "${name}=\${${name}-unset}"`).join("; ")}`,
      hostname: 'case $1 in -I) echo "10.0.0.7 fd00::7 " ;; -s) echo machine ;; esac',
    };
    for (const [name, script] of Object.entries(programs)) {
      await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
      await chmod(join(folder, name), 0o755);
    }
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function start(env: Readonly<Record<string, string>>): Promise<string[]> {
    const { stdout } = await run("packaging/start-proxy", [], { env: { PATH: `${folder}:/usr/bin:/bin`, ...env } });
    return stdout.trimEnd().split("\n");
  }

  test("without any of them it has the defaults of Istio's", async () => {
    expect(await start({})).toEqual([
      ...["proxy", "--envoy", "/usr/lib/pilotboat/envoy", "INSTANCE_IP=10.0.0.7", "POD_NAME=machine"],
      ...["POD_NAMESPACE=default", "CA_ADDR=unset", "PROV_CERT=./etc/certs", "OUTPUT_CERTS=./etc/certs"],
      ...["PROXY_CONFIG=", "serviceCluster: rawvm", "controlPlaneAuthPolicy: MUTUAL_TLS"],
    ]);
  });

  test.each([
    [{ ISTIO_SVC_IP: "10.9.9.9" }, ["INSTANCE_IP=10.9.9.9"]],
    [{ ISTIO_NAMESPACE: "shop", POD_NAMESPACE: "other" }, ["POD_NAMESPACE=shop"]],
    [{ POD_NAMESPACE: "other" }, ["POD_NAMESPACE=other"]],
    [{ POD_NAME: "vm-1" }, ["POD_NAME=vm-1"]],
    [{ PROV_CERT: "", OUTPUT_CERTS: "/out" }, ["PROV_CERT=", "OUTPUT_CERTS=/out"]],
    [
      { ISTIO_SERVICE: "web.shop", ISTIO_CP_AUTH: "NONE" },
      ["serviceCluster: web.shop", "controlPlaneAuthPolicy: NONE"],
    ],
    [{ PROXY_CONFIG: "concurrency: 2", ISTIO_SERVICE: "web" }, ["PROXY_CONFIG=concurrency: 2"]],
    [{ PILOT_ADDRESS: "p:1", ISTIO_PILOT_PORT: "2" }, ["CA_ADDR=p:1", "PROXY_CONFIG=", "discoveryAddress: p:1"]],
    [
      { ISTIO_PILOT_PORT: "15010", ISTIO_SYSTEM_NAMESPACE: "mesh", PROXY_CONFIG: "concurrency: 2" },
      ["CA_ADDR=istiod.mesh.svc:15010", "PROXY_CONFIG=concurrency: 2", "discoveryAddress: istiod.mesh.svc:15010"],
    ],
    [{ CA_ADDR: "ca:1", PILOT_ADDRESS: "p:1" }, ["CA_ADDR=ca:1", "discoveryAddress: p:1"]],
    [
      { ISTIO_AGENT_FLAGS: "router  --proxyLogLevel=debug --log_as_json *" },
      ["router", "--proxyLogLevel=debug", "--log_as_json", "*"],
    ],
  ])("%o", async (env: Readonly<Record<string, string>>, lines) => {
    const found = await start(env);
    expect(found).toEqual(expect.arrayContaining(lines));
    if ("PROXY_CONFIG" in env) expect(found.join("\n")).not.toContain("serviceCluster");
  });
});
