import type { AgentReport, ReloadReport } from "../agent/index.ts";
import { escapeLine } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { AGENT_FLAGS, AGENT_FOLDER, type AgentPlace, JSON_FLAG, placeOf } from "./agent-place.ts";
import { defineCommand } from "./contract/index.ts";
import { printWarnings } from "./print-error.ts";
import { bad, faint, good, stdoutOf, type Text } from "./terminal/index.ts";

/** Validation, an earlier epoch's drain and the start of the next one have limits of their own; this one is for the sum. */
const LIMIT_MS = 300_000;
const LOOK_LIMIT_MS = 5_000;

export const command = defineCommand({
  name: "reload",
  group: "run",
  summary: "Replace the Envoy of a running agent without losing a request",
  description: [
    "Reads the configuration of a running agent again and replaces its Envoy by a hot restart. The agent needs --hot-restart.",
    "Exit code 1 when the active Envoy keeps serving; the reason is printed.",
  ],
  arguments: [AGENT_FOLDER],
  flags: [
    ...AGENT_FLAGS,
    { name: "force", type: "bool", default: false, help: "Replace Envoy even if nothing changed" },
    JSON_FLAG,
  ],
  examples: [
    "pilotboat proxy sidecar --hot-restart --proxy-config proxy.yaml --run-folder ~/sidecar &",
    "pilotboat reload ~/sidecar      # after you edited proxy.yaml, or upgraded Envoy",
  ],
  similar: ["restart", "hot-restart", "upgrade"],
  async run({ flags, words: [folder] }, host) {
    const { callAgent } = await import("./call-agent.ts");
    const place = placeOf(flags, folder);
    await tellWaiting(callAgent, host, place);
    const path = flags.force ? "/reload" : "/reload?if=changed";
    const { body } = await callAgent(host, place, { method: "POST", path, limitMs: LIMIT_MS });
    const { text, warnings, isRefused } = readAnswer(asJson(body), (report: ReloadReport) => ({
      text: flags.output === "json" ? `${JSON.stringify(report, null, 2)}\n` : describe(report),
      warnings: report.warnings.map(String),
      isRefused: report.outcome === "refused",
    }));
    printWarnings(host, warnings);
    stdoutOf(host).print(text);
    return isRefused ? 1 : 0;
  },
});

type CallAgent = typeof import("./call-agent.ts").callAgent;

/** A reload soon after another one may take as long as the first Envoy was promised for its drain. */
async function tellWaiting(callAgent: CallAgent, host: Host, place: AgentPlace): Promise<void> {
  const { body } = await callAgent(host, place, { method: "GET", path: "/debug/agent", limitMs: LOOK_LIMIT_MS });
  const { envoys, leftSeconds } = readAnswer(body, ({ envoys, drainLeftSeconds }: AgentReport) => ({
    envoys,
    leftSeconds: drainLeftSeconds.toFixed(0),
  }));
  if (envoys < 2) return;
  const limit = `for at most ${leftSeconds} s more (PILOTBOAT_PARENT_SHUTDOWN)`;
  host.stderr.write(`an earlier Envoy still drains, ${limit}; the next replacement waits for it\n`);
}

/** An agent without Envoy answers in plain words. */
function asJson(body: string): string {
  if (body.startsWith("{")) return body;
  const refusal = { outcome: "refused", reason: body.trim(), changes: [], warnings: [], drainLeftSeconds: 0, ms: 0 };
  return JSON.stringify(refusal);
}

function describe(report: ReloadReport): Text {
  return [...report.changes.map((line) => `${escapeLine(line)}\n`), describeOutcome(report), "\n"];
}

function describeOutcome({ outcome, reason = "", hint, pid, ms, drainLeftSeconds }: ReloadReport): Text {
  if (outcome === "refused") {
    const advice = hint === undefined ? "" : `\n  hint: ${escapeLine(hint)}`;
    return [bad("refused"), `, the active Envoy keeps serving: ${escapeLine(reason)}${advice}`];
  }
  if (outcome === "unchanged") {
    return [faint("nothing changed"), `, Envoy keeps running: pid ${pid} (--force replaces it anyway)`];
  }
  const drain = drainLeftSeconds > 0 ? `; the previous Envoy drains for at most ${drainLeftSeconds} s` : "";
  return [good("replaced"), `: pid ${pid}, ${ms} ms${drain}`];
}
