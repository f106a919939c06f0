import type { AgentReport, ReloadReport } from "../agent/index.ts";
import type { Host } from "../base/index.ts";
import { type AgentPlace, callAgent, withAgentPlace } from "./call-agent.ts";
import { runCommander } from "./command.ts";

/** Validation, an earlier epoch's drain and the start of the next one have limits of their own; this one is for the sum. */
const LIMIT_MS = 300_000;
const LOOK_LIMIT_MS = 5_000;

const EXAMPLES = `
Exit code 1 when the old Envoy serves on; the reason is printed.

Examples:
  pilotboat proxy sidecar --hot-restart --proxy-config proxy.yaml --run-folder ~/sidecar &
  pilotboat reload ~/sidecar      # after proxy.yaml was edited, or Envoy upgraded`;

/** `pilotboat reload`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  return runCommander("reload", args, host, (program, exitWith) => {
    withAgentPlace(program)
      .description("Replace the Envoy of a running agent by a hot restart, with its configuration read again")
      .addHelpText("after", EXAMPLES)
      .action(async (folder: string | undefined, flags: AgentPlace) => {
        const place = { ...flags, folder };
        await tellWaiting(host, place);
        const { body } = await callAgent(host, place, { method: "POST", path: "/reload", limitMs: LIMIT_MS });
        const report = readReport(body);
        host.stdout.write(flags.output === "json" ? `${JSON.stringify(report, null, 2)}\n` : describe(report));
        if (report.outcome === "refused") exitWith(1);
      });
  });
}

/** A reload soon after another one takes as long as the first Envoy was promised for its drain. */
async function tellWaiting(host: Host, place: AgentPlace): Promise<void> {
  const { body } = await callAgent(host, place, { method: "GET", path: "/debug/agent", limitMs: LOOK_LIMIT_MS });
  if ((JSON.parse(body) as AgentReport).envoys < 2) return;
  host.stderr.write("an earlier Envoy still drains, waiting until it has ended (see PILOTBOAT_PARENT_SHUTDOWN)\n");
}

/** An agent without Envoy answers in plain words. */
function readReport(body: string): ReloadReport {
  try {
    return JSON.parse(body) as ReloadReport;
  } catch {
    return { outcome: "refused", reason: body.trim(), changes: [], pid: undefined, ms: 0 };
  }
}

function describe({ outcome, reason, changes, pid, ms }: ReloadReport): string {
  const last =
    outcome === "refused" ? `refused, the old Envoy serves on: ${reason}` : `${outcome}: pid ${pid}, ${ms} ms`;
  return [...changes, last].map((line) => `${line}\n`).join("");
}
