import { Resolver } from "node:dns/promises";
import { cp, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { bindTcp } from "../../src/base/index.ts";
import { runtimes } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createSandbox } from "../support/sandbox.ts";

const NAMES = `
names:
  reviews.default.svc.cluster.local:
    { ips: [10.9.8.7], registry: Kubernetes, shortname: reviews, namespace: default }
`;

describe.each(runtimes())("DNS on $name", (runtime) => {
  test("names of the mesh are answered, also when the control plane is gone; status and metrics tell", async () => {
    await using sandbox = await createSandbox(runtime);
    const xds = join(sandbox.folder, "xds");
    await cp(resolve("examples/quickstart/xds"), xds, { recursive: true });
    await writeFile(join(xds, "names.yaml"), NAMES);
    await using controlPlane = await sandbox.startControlPlane({ resources: xds });
    const [port = 0] = await freePorts(1);
    const env = { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${port}` };
    await using agent = await sandbox.startProxy({ env });
    const get = (path: string) => fetch(`http://127.0.0.1:${sandbox.ports.status}${path}`);
    const status = (path: string): Promise<number> =>
      get(path).then(
        (answer) => answer.status,
        () => 0,
      );
    await expect.poll(() => status("/healthz/ready"), { timeout: 20_000 }).toBe(200);

    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${port}`]);
    for (const name of ["reviews", "reviews.default", "reviews.default.svc.cluster.local"]) {
      expect(await resolver.resolve4(name)).toEqual(["10.9.8.7"]);
    }
    expect(await resolver.resolve6("reviews.default").catch(({ code }) => code)).toBe("ENODATA");
    const dump = await get("/debug/ndsz");
    expect(dump.headers.get("content-type")).toBe("application/json");
    expect(await dump.json()).toMatchObject({ table: { "reviews.default.": { ips: ["10.9.8.7"] } } });
    expect(await (await get("/stats/prometheus")).text()).toMatch(/^istio_agent_dns_requests_total [4-9]$/m);

    controlPlane.kill("SIGKILL");
    await controlPlane.ended;
    expect(await resolver.resolve4("reviews")).toEqual(["10.9.8.7"]);
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
  });

  test("without a table what is asked fails at once", async () => {
    await using sandbox = await createSandbox(runtime);
    await using controlPlane = await sandbox.startControlPlane(); // writes the credentials
    controlPlane.kill("SIGKILL");
    await controlPlane.ended;
    const [port = 0] = await freePorts(1);
    const env = { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${port}` };
    await using _agent = await sandbox.startProxy({ env });
    const resolver = new Resolver({ timeout: 2_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${port}`]);
    await expect.poll(() => resolver.resolve4("reviews").catch(({ code }) => code)).toBe("ESERVFAIL");
    const ready = () =>
      fetch(`http://127.0.0.1:${sandbox.ports.status}/healthz/ready`).then(
        (answer) => answer.text(),
        () => "",
      );
    await expect.poll(ready).toMatch(/^config not received from XDS server .*UNAVAILABLE/); // Envoy's reason comes first
  });

  test("a port that is taken is named, and nothing stays", async () => {
    await using taken = await bindTcp("127.0.0.1", 0);
    await using sandbox = await createSandbox(runtime);
    await using agent = await sandbox.startProxy({
      env: { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${taken.port}` },
    });
    expect((await agent.ended).code).toBe(1);
    expect(agent.stderr()).toContain(`failed to start local DNS server: `);
    expect(agent.stderr()).toContain(`127.0.0.1:${taken.port}`);
  });

  test("an address that is none is refused", async () => {
    await using sandbox = await createSandbox(runtime);
    await using agent = await sandbox.startProxy({
      env: { ISTIO_META_ENABLE_DNS_SERVER: "true", DNS_PROXY_ADDR: "localhost" },
    });
    expect((await agent.ended).code).toBe(2);
    expect(agent.stderr()).toMatch(
      /dns address must be a valid host:port: .*missing port[\s\S]*hint: Set DNS_PROXY_ADDR/,
    );
  });
});
