import type { AgentReport, ReloadReport } from "../agent/index.ts";
import { escapeLine } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { readAnswer } from "./agent-answer.ts";
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
      .option("--force", "replace Envoy also when nothing has changed")
      .addHelpText("after", EXAMPLES)
      .action(async (folder: string | undefined, flags: AgentPlace & { readonly force?: boolean }) => {
        const place = { ...flags, folder };
        await tellWaiting(host, place);
        const path = flags.force === true ? "/reload" : "/reload?if=changed";
        const { body } = await callAgent(host, place, { method: "POST", path, limitMs: LIMIT_MS });
        const { out, err, isRefused } = readAnswer(asJson(body), (report: ReloadReport) => ({
          out: flags.output === "json" ? `${JSON.stringify(report, null, 2)}\n` : describe(report),
          err: report.warnings.map((warning) => `warning: ${escapeLine(warning)}\n`).join(""),
          isRefused: report.outcome === "refused",
        }));
        host.stderr.write(err);
        host.stdout.write(out);
        if (isRefused) exitWith(1);
      });
  });
}

/** A reload soon after another one may take as long as the first Envoy was promised for its drain. */
async function tellWaiting(host: Host, place: AgentPlace): Promise<void> {
  const { body } = await callAgent(host, place, { method: "GET", path: "/debug/agent", limitMs: LOOK_LIMIT_MS });
  const { envoys, leftSeconds } = readAnswer(body, ({ envoys, drainLeftSeconds }: AgentReport) => ({
    envoys,
    leftSeconds: drainLeftSeconds.toFixed(0),
  }));
  if (envoys < 2) return;
  const limit = `for at most ${leftSeconds} s more (PILOTBOAT_PARENT_SHUTDOWN)`;
  host.stderr.write(`an earlier Envoy still drains, ${limit}; the next replacement waits for that\n`);
}

/** An agent without Envoy answers in plain words. */
function asJson(body: string): string {
  if (body.startsWith("{")) return body;
  const refusal = { outcome: "refused", reason: body.trim(), changes: [], warnings: [], drainLeftSeconds: 0, ms: 0 };
  return JSON.stringify(refusal);
}

function describe(report: ReloadReport): string {
  return [...report.changes, describeOutcome(report)].map((line) => `${escapeLine(line)}\n`).join("");
}

function describeOutcome({ outcome, reason, pid, ms, drainLeftSeconds }: ReloadReport): string {
  if (outcome === "refused") return `refused, the old Envoy serves on: ${reason}`;
  if (outcome === "unchanged") return `nothing changed, Envoy was left alone: pid ${pid} (--force replaces it anyway)`;
  const drain = drainLeftSeconds > 0 ? `; the Envoy before drains for at most ${drainLeftSeconds} s` : "";
  return `replaced: pid ${pid}, ${ms} ms${drain}`;
}
