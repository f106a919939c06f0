import type { AgentReport } from "../agent/index.ts";
import { escapeLine, oneLine, utcTime } from "../base/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { AGENT_FLAGS, AGENT_FOLDER, JSON_FLAG, placeOf } from "./agent-place.ts";
import { defineCommand } from "./contract/index.ts";
import { bad, good, nameTable, type Row, stdoutOf, type Text, warning } from "./terminal/index.ts";

const LIMIT_MS = 5_000;

export const command = defineCommand({
  name: "status",
  group: "look",
  summary: "Certificate, control plane and Envoy of a running agent",
  arguments: [AGENT_FOLDER],
  flags: [...AGENT_FLAGS, JSON_FLAG],
  examples: ["pilotboat status ~/sidecar", "pilotboat status -o json"],
  similar: ["ps", "proxy-status", "info"],
  async run({ flags, words: [folder] }, host) {
    const { callAgent } = await import("./call-agent.ts");
    const call = { method: "GET", path: "/debug/agent", limitMs: LIMIT_MS } as const;
    const { body } = await callAgent(host, placeOf(flags, folder), call);
    const terminal = stdoutOf(host);
    const text = readAnswer(body, (report: AgentReport): Text => {
      if (flags.output === "json") return `${JSON.stringify(report, null, 2)}\n`;
      return describeReport(report, Date.now(), terminal.width);
    });
    terminal.print(text);
    return 0;
  },
});

/** The report for people, as a table of that many columns. */
export function describeReport(report: AgentReport, nowMs: number, width?: number): Text {
  const { controlPlane, identity } = report;
  const rows: Row[] = [
    ["agent", `pilotboat ${report.version}, pid ${report.pid}`],
    ["node", report.node],
    ["envoy", describeEnvoy(report, nowMs)],
    ...historyRows(report, nowMs),
    ["control plane", [`${controlPlane.address}: `, stateOf(controlPlane.state)]],
    ...report.leftOut.map(({ filter, type, lost }): Row => {
      return ["left out", warning(`${filter} (${type}), which this Envoy does not have; lost: ${lost}`)];
    }),
    ...report.substitutedWasm.map(({ name, uri, consequence }): Row => {
      return ["no Wasm", warning(`${name} (${uri}), which this version does not fetch; ${consequence}`)];
    }),
    ...certificateRows(identity, nowMs),
    ...(identity?.troubles ?? []).map((trouble): Row => ["trouble", bad(notTwice(trouble, controlPlane.state))]),
  ];
  return nameTable(
    rows.map(([name, value]) => [name, onOneLine(value)]),
    { width },
  );
}

/** CA and control plane are one istiod most of the time, and what explains its refusal of one explains that of the other. */
function notTwice(trouble: string, state: string): string {
  const [, explanation] = /^[A-Z_]+: .*?; (.*) \(\d+ failed attempts/s.exec(state) ?? [];
  return explanation === undefined ? trouble : trouble.replace(`; ${explanation}`, () => "; the reason is above");
}

function onOneLine(value: Text): Text {
  if (typeof value === "string") return escapeLine(value);
  return "style" in value ? { ...value, text: escapeLine(value.text) } : value.map(onOneLine);
}

/** A word for a state of Envoy or of a connection, in the colour of how good that is. */
function stateOf(state: string): Text {
  if (GOOD_STATES.includes(state)) return good(state);
  return BAD_STATES.includes(state) ? bad(state) : warning(state);
}

const GOOD_STATES = ["running", "responding"];
const BAD_STATES = ["hung", "waiting", "ended"];

function describeEnvoy({ envoy }: AgentReport, nowMs: number): Text {
  if (!("child" in envoy)) return stateOf(envoy.kind);
  const { pid, epoch, startedMs } = envoy.child;
  return [stateOf(envoy.kind), `, pid ${pid}${epoch === 0 ? "" : `, epoch ${epoch}`}, for ${span(nowMs - startedMs)}`];
}

/** Nothing where nothing has happened. */
function historyRows({ history }: AgentReport, nowMs: number): Row[] {
  if (history === undefined || (history.restarts === 0 && history.lastCrash === undefined)) return [];
  const { restarts, lastCrash } = history;
  const rows: Row[] = [["restarts", String(restarts)]];
  if (lastCrash === undefined) return rows;
  const { reason, pid, endedMs, evidence } = lastCrash;
  const where = evidence === undefined ? "" : `; evidence in ${evidence}`;
  return [...rows, ["last crash", [warning(reason), `, pid ${pid}, ${span(nowMs - endedMs)} ago${where}`]]];
}

function certificateRows(identity: AgentReport["identity"], nowMs: number): Row[] {
  const rows: Row[] = [];
  const certificate = identity?.certificate;
  if (certificate === undefined) rows.push(["certificate", warning("none yet")]);
  else {
    const { subjectAltName, issuer, serialNumber, notBeforeMs, notAfterMs } = certificate;
    rows.push(
      ["certificate", subjectAltName],
      ["issuer", oneLine(issuer, ", ")],
      ["serial", serialNumber],
      ["valid", [`${utcTime(notBeforeMs)} to ${utcTime(notAfterMs)}, `, left(notAfterMs, nowMs)]],
    );
  }
  if (identity?.nextRotationMs !== undefined) {
    rows.push(["next rotation", `${utcTime(identity.nextRotationMs)}, in ${span(identity.nextRotationMs - nowMs)}`]);
  }
  if (identity !== undefined && "leftMs" in identity.token) {
    rows.push(["token", [`${identity.token.kind}, `, left(identity.token.expiresAtMs, nowMs), tokenFacts(identity)]]);
  }
  return rows;
}

/** Whose token it is and for whom; nothing where it does not tell. */
function tokenFacts({ tokenClaims }: NonNullable<AgentReport["identity"]>): string {
  if (tokenClaims === undefined || tokenClaims.subject === "") return "";
  const { subject, issuer, audiences } = tokenClaims;
  return `; of ${subject.replace("system:serviceaccount:", "account ")}, for ${audiences.join(" and ") || "nobody"}, by ${issuer}`;
}

function left(untilMs: number, nowMs: number): Text {
  return untilMs > nowMs ? `${span(untilMs - nowMs)} left` : bad(`expired ${span(nowMs - untilMs)} ago`);
}

/** The two largest units: `11h58m`, `4m3s`, `7s`. */
function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  const [hours, minutes, rest] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (hours > 0) return `${hours}h${minutes}m`;
  return minutes > 0 ? `${minutes}m${rest}s` : `${rest}s`;
}
