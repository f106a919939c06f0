import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { startApp } from "../probes/rig.ts";
import { type Runtime, runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";

/** Prometheus' own checker, of PATH. */
function findPromtool(): string | undefined {
  const places = [
    process.env.PROMTOOL,
    ...(process.env.PATH ?? "").split(delimiter).map((one) => join(one, "promtool")),
  ];
  const found = places.find((path) => {
    try {
      accessSync(path ?? "", constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined)
    console.log("No promtool here: its test does not run (Debian's package prometheus has it, PROMTOOL names one)");
  return found;
}

const promtool = findPromtool();

/** Its exit code where it reads the text and dislikes names or missing help. */
const LINT_ONLY = 3;
/** Envoy writes no HELP, and its counters end as they please. Dashboards have the names; they are passed on as they are. */
const OF_OTHERS = /^(envoy|istio)_(?!agent_)\w+ /;
/** Counters of pilot-agent that users graph under these names. Source: istio/istio pilot/cmd/pilot-agent/metrics and pkg/istio-agent/metrics. */
const OF_THE_REFERENCE =
  /^istio_agent_(istiod_connection_(failures|terminations)|envoy_connection_terminations|xds_proxy_(requests|responses)|num_(failed_)?outgoing_requests|num_outgoing_retries|outgoing_latency|pilot_xds_expired_nonce) counter metrics should have "_total" suffix$/;

async function check(text: string): Promise<{ readonly code: number | null; readonly complaints: readonly string[] }> {
  const child = spawn(promtool ?? "", ["check", "metrics"], { stdio: ["pipe", "pipe", "pipe"] });
  const pieces: Buffer[] = [];
  for (const out of [child.stdout, child.stderr]) out.on("data", (piece: Buffer) => void pieces.push(piece));
  child.stdin.end(text);
  const [code] = await once(child, "close");
  const said = Buffer.concat(pieces).toString().trim();
  return { code, complaints: said === "" ? [] : said.split("\n") };
}

describe.runIf(promtool !== undefined).each(runtimes())("promtool on $name", (runtime: Runtime) => {
  test("promtool reads a live merged scrape, and dislikes only names that are Envoy's and pilot-agent's", async () => {
    const app = await startApp((_, response) => {
      response.writeHead(200, { "Content-Type": "text/plain; version=0.0.4" });
      response.end("# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total 3\n");
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
    for (const source of ["istio_agent_scrapes_total", "envoy_server_live", "orders_total"])
      expect(text).toContain(source);
    const { code, complaints } = await check(text);
    expect([0, LINT_ONLY]).toContain(code); // any other: it cannot read the text
    expect(complaints.filter((line) => !OF_OTHERS.test(line) && !OF_THE_REFERENCE.test(line))).toEqual([]);
  });
});
