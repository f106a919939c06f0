import type { AgentReport } from "../agent/index.ts";
import { pause } from "../base/index.ts";
import { type Host, whileRead } from "../host/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { AGENT_FLAGS, AGENT_FOLDER, type AgentPlace, placeOf } from "./agent-place.ts";
import { defineCommand } from "./contract/index.ts";
import { describeReport } from "./describe-report.ts";
import { DOCUMENT_FLAG, writeDocument } from "./document.ts";
import { canRedraw, redraw, stdoutOf } from "./terminal/index.ts";

const LIMIT_MS = 5_000;
const WATCH_EVERY_MS = 1_000;

export const command = defineCommand({
  name: "status",
  group: "look",
  summary: "Readiness, certificate, control plane and Envoy of a running agent",
  description: [
    "Shows whether a running agent is ready and if not why, its certificate, what Envoy has of each xDS type, Envoy's state and last crash, ports, and how long the start took.",
    "The exit code is 1 when the agent is not ready. With --watch it refreshes every second until Ctrl-C or until the agent is gone; in a pipe, or where TERM is dumb or not set, it prints one report after the other.",
  ],
  arguments: [AGENT_FOLDER],
  flags: [
    ...AGENT_FLAGS,
    DOCUMENT_FLAG,
    { name: "watch", shorthand: "w", type: "bool", default: false, help: "Refresh every second" },
  ],
  examples: ["pilotboat status ~/sidecar", "pilotboat status -o json", "pilotboat status --watch"],
  similar: ["proxy-status", "info"],
  async run({ flags, words: [folder] }, host) {
    const place = placeOf(flags, folder);
    if (!flags.watch) return show(await ask(host, place), { form: flags.output }, host);
    const stop = whileRead(host.stdout, host.signals.stop);
    while (!stop.aborted) {
      const body = await ask(host, place);
      if (stop.aborted) break;
      await show(body, { form: flags.output, isOneOfMany: true }, host);
      await pause(WATCH_EVERY_MS, stop);
    }
    return 0;
  },
});

async function ask(host: Host, place: AgentPlace): Promise<string> {
  const { callAgent } = await import("./call-agent.ts");
  return (await callAgent(host, place, { method: "GET", path: "/debug/agent", limitMs: LIMIT_MS })).body;
}

interface ShowOptions {
  readonly form: string | undefined;
  readonly isOneOfMany?: boolean;
}

/** Resolves with the exit code that this answer means. */
async function show(body: string, { form, isOneOfMany = false }: ShowOptions, host: Host): Promise<number> {
  const terminal = stdoutOf(host);
  const { report, text } = readAnswer(body, (found: AgentReport) => {
    return { report: found, text: form === undefined ? describeReport(found, Date.now(), terminal.width) : "" };
  });
  if (form !== undefined) await writeDocument(host, report, { form, isOneOfMany });
  else if (!isOneOfMany) terminal.print(text);
  else if (canRedraw(host.stdout, host.env)) redraw(host, text);
  else terminal.print([text, "\n"]);
  return report.readiness?.ready === false ? 1 : 0;
}
