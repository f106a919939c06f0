import type { AgentReport } from "../agent/index.ts";
import type { FoundAgent } from "../agent/run-folder/index.ts";
import { describeError, escapeLine } from "../base/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { defineCommand } from "./contract/index.ts";
import { describeReady, span } from "./describe-report.ts";
import { DOCUMENT_FLAG, writeDocument } from "./document.ts";
import { bad, columnTable, stdoutOf, type Text } from "./terminal/index.ts";

const LIMIT_MS = 2_000;

export const command = defineCommand({
  name: "ps",
  group: "look",
  summary: "Every agent of this user on this machine",
  description: [
    "Lists the agents of this user that run on this machine: process, role, ports, run folder, and whether they are ready or why not. What agents that are gone have left is not listed.",
    "`pilotboat status FOLDER` shows one of them.",
  ],
  flags: [DOCUMENT_FLAG],
  examples: ["pilotboat ps", "pilotboat ps -o json"],
  similar: ["list", "ls", "agents"],
  async run({ flags }, host) {
    const { agentsOf } = await import("./call-agent.ts");
    const agents = await Promise.all((await agentsOf(host)).map(look));
    const terminal = stdoutOf(host);
    if (flags.output !== undefined) await writeDocument(host, agents.map(forPrograms), { form: flags.output });
    else if (agents.length === 0) terminal.print("No agent of this user runs on this machine.\n");
    else
      terminal.print(
        columnTable(
          HEAD,
          agents.map((one) => rowOf(one, Date.now())),
          terminal.width,
        ),
      );
    return 0;
  },
});

/** An agent and its report, or why there is none. */
interface Looked {
  readonly agent: FoundAgent;
  readonly report?: AgentReport;
  readonly failure?: string;
}

async function look(agent: FoundAgent): Promise<Looked> {
  if (agent.statusPort === undefined) return { agent, failure: "its status port is not open yet" };
  if (agent.statusPort === 0) return { agent, failure: "it has no status port" };
  try {
    const { callFound } = await import("./call-agent.ts");
    const { body } = await callFound(agent, { method: "GET", path: "/debug/agent", limitMs: LIMIT_MS });
    return { agent, report: readAnswer(body, (report: AgentReport) => report) };
  } catch (error) {
    return { agent, failure: `it does not answer: ${describeError(error)}` };
  }
}

/** What is not known is absent. */
function forPrograms({ agent: { pid, runFolder, statusPort }, report, failure }: Looked) {
  const { role, node, version, startedMs, ports, readiness } = report ?? {};
  return { pid, runFolder, statusPort, role, node, version, startedMs, ports, readiness, failure };
}

const HEAD = ["PID", "ROLE", "AGE", "STATUS", "ADMIN", "FOLDER", "READY"] as const;

function rowOf({ agent, report, failure }: Looked, nowMs: number): readonly Text[] {
  const { pid, runFolder, statusPort = 0 } = agent;
  const admin = report?.ports?.find(({ from }) => from === "proxyAdminPort")?.port;
  return [
    String(pid),
    escapeLine(report?.role ?? "-"),
    report?.startedMs === undefined ? "-" : span(nowMs - report.startedMs),
    statusPort === 0 ? "-" : String(statusPort),
    String(admin ?? "-"),
    escapeLine(runFolder),
    ready(report, failure, nowMs),
  ];
}

function ready(report: AgentReport | undefined, failure: string | undefined, nowMs: number): Text {
  if (report?.readiness === undefined) return bad(escapeLine(failure ?? "it is an agent of another version"));
  const { reason = "" } = report.readiness;
  return describeReady({ ...report.readiness, reason: escapeLine(reason) }, nowMs);
}
