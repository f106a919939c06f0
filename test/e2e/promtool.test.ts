import { describe, expect, test } from "vitest";
import { startApp } from "../probes/rig.ts";
import { type Runtime, runtimes } from "../support/pilotboat.ts";
import { checkMetrics, hasPromtool, LINT_ONLY } from "../support/promtool.ts";
import { createSandbox } from "../support/sandbox.ts";

/** Envoy writes no HELP, and its counters end as they please. Dashboards have the names; they are passed on as they are. */
const OF_OTHERS = /^(envoy|istio)_(?!agent_)\w+ /;
/** Counters of pilot-agent that users graph under these names. Source: istio/istio pilot/cmd/pilot-agent/metrics and pkg/istio-agent/metrics. */
const OF_THE_REFERENCE =
  /^istio_agent_(istiod_connection_(failures|terminations)|envoy_connection_terminations|xds_proxy_(requests|responses)|num_(failed_)?outgoing_requests|num_outgoing_retries|outgoing_latency|pilot_xds_expired_nonce) counter metrics should have "_total" suffix$/;

describe.runIf(hasPromtool).each(runtimes())("promtool on $name", (runtime: Runtime) => {
  test("promtool reads a live merged scrape, and dislikes only names that are Envoy's and pilot-agent's", async () => {
    const app = await startApp((_, response) => {
      response.writeHead(200, { "Content-Type": "text/plain; version=0.0.4" });
      const ofProcess = "# HELP process_open_fds Of it.\n# TYPE process_open_fds gauge\nprocess_open_fds 7\n"; // as most have
      response.end(`# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total 3\n${ofProcess}`);
    });
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    const env = { ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", port: String(app.port) }) };
    await using agent = await sandbox.startProxy({ env });
    await agent.waitFor(/\tStart: .*ready \d+ ms/);
    await fetch(`http://127.0.0.1:${sandbox.ports.outbound}/hello`);
    const text = await fetch(`http://127.0.0.1:${sandbox.ports.status}/stats/prometheus`).then((answer) =>
      answer.text(),
    );
    for (const source of ["istio_agent_scrapes_total", "envoy_server_live", "orders_total", "process_open_fds 7"])
      expect(text).toContain(source);
    const { code, complaints } = await checkMetrics(text);
    expect([0, LINT_ONLY]).toContain(code); // any other: it cannot read the text
    expect(complaints.filter((line) => !OF_OTHERS.test(line) && !OF_THE_REFERENCE.test(line))).toEqual([]);
  });
});
