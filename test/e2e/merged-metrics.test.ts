import { describe, expect, test } from "vitest";
import { startApp } from "../probes/rig.ts";
import { runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";

describe.each(runtimes())("merged metrics on $name", (runtime) => {
  test("a real Envoy's, the agent's and the application's are one document", async () => {
    const app = await startApp((_, response) => {
      response.writeHead(200, { "Content-Type": "application/openmetrics-text; version=1.0.0" });
      response.end("# TYPE orders counter\norders_total 3\n# EOF\n");
    });
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    const env = {
      ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", port: String(app.port), path: "/stats" }),
    };
    await using _agent = await sandbox.startProxy({ env });
    const ask = (path: string, headers: Record<string, string> = {}) =>
      fetch(`http://127.0.0.1:${sandbox.ports.status}${path}`, { headers });
    await expect
      .poll(
        () =>
          ask("/healthz/ready").then(
            ({ status }) => status,
            () => 0,
          ),
        { timeout: 20_000 },
      )
      .toBe(200);
    const answer = await ask("/stats/prometheus", {
      Accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    });
    const text = await answer.text();
    expect(answer.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(text).toMatch(/^istio_agent_scrapes_total 1$/m);
    expect(text).toMatch(/^envoy_server_live\{?.*\}? 1$/m);
    expect(text).toContain("\norders_total 3\n");
    for (const series of [
      'num_outgoing_requests{request_type="csr"} 1',
      'outgoing_latency{request_type="csr"}',
      'cert_expiry_seconds{resource_name="default"}',
      'pilot_xds_send_time_bucket{le="0.01"}',
      ...["startup_duration_seconds", "xds_proxy_requests", "xds_proxy_responses", "pilot_xds_recv_max"],
    ])
      expect(text).toContain(`\nistio_agent_${series}`);
    expect(text).toMatch(/^process_resident_memory_bytes \d\S*\n(?:.*\n)*# EOF\n$/m);
    expect(text.split("\n").slice(0, -1)).not.toContain(""); // OpenMetrics has no empty lines
    expect(app.seen[0]?.url).toBe("/stats");
  });

  test("a target that is the agent itself is refused at the start", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    const port = String(sandbox.ports.status);
    await using agent = await sandbox.startProxy({ env: { ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ port }) } });
    expect((await agent.ended).code).toBe(2);
    expect(agent.stderr()).toContain(`port ${port} is the agent's own: the scrape would be a recursive loop`);
  });
});
