import type { LogLine } from "../../base/index.ts";
import { type Html, html } from "../markup/html.ts";
import { bytes, shorten, span, utc } from "../markup/words.ts";
import type { AgentFacts, IdentityFacts, XdsFacts } from "../model/facts.ts";
import type { ServerFigures } from "../model/read-traffic.ts";

// Each section is the inside of an element that the document has; the stream replaces it when it changes.

export function readySection({ readiness, leftOut, stale, wasm = [] }: AgentFacts, nowMs: number): Html {
  const { ready, since, reason, causes } = readiness;
  const notes = [
    ...(stale === undefined ? [] : [`Stale: ${describeStale(stale, nowMs)}`]),
    ...leftOut.map(({ filter, lost }) => `This Envoy does not have "${filter}"; lost: ${lost}`),
    ...wasm.flatMap(({ name, error, consequence }) =>
      consequence === undefined ? [] : [`Without its Wasm module: "${name}"; ${consequence}: ${error}`],
    ),
  ];
  return html`<p class="badge ${ready ? "good" : "bad"}">${ready ? "Ready" : "Not ready"}</p><p class="since">for ${span(
    nowMs - Date.parse(since),
  )}</p>${reason !== undefined && html`<p class="reason">${reason}</p>`}${
    causes.length > 0 && html`<ol class="causes">${causes.map(causeItem)}</ol>`
  }${notes.length > 0 && html`<ul class="notes">${notes.map((note) => html`<li>${note}</li>`)}</ul>`}`;
}

function describeStale({ acceptedMs, sinceMs }: NonNullable<AgentFacts["stale"]>, nowMs: number): string {
  const ages = `accepted ${span(nowMs - acceptedMs)} ago, served for ${span(nowMs - sinceMs)}`;
  return `Envoy has the last configuration that it accepted (${ages})`;
}

function causeItem({ kind, text, waitedMs }: AgentFacts["readiness"]["causes"][number]): Html {
  return html`<li><b>${kind}</b> ${text}${waitedMs !== undefined && html` <i>for ${span(waitedMs)}</i>`}</li>`;
}

type Row = readonly [name: string, value: Html | string | undefined];

function rows(all: readonly Row[]): Html {
  const shown = all.filter(([, value]) => value !== undefined);
  return html`<dl>${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function identitySection(identity: IdentityFacts | undefined, nowMs: number): Html {
  const certificate = identity?.certificate;
  const troubles = (identity?.troubles ?? []).map(({ text }) => html`<p class="reason">${text}</p>`);
  if (certificate === undefined) return html`<h2>Identity</h2><p class="empty">No certificate yet</p>${troubles}`;
  const { notBeforeMs, notAfterMs, subjectAltName, issuer, serialNumber, source } = certificate;
  const share = Math.min(1, Math.max(0, (notAfterMs - nowMs) / (notAfterMs - notBeforeMs)));
  const left = notAfterMs > nowMs ? `${span(notAfterMs - nowMs)} left` : `expired ${span(nowMs - notAfterMs)} ago`;
  const kind = share > 0.2 ? "good" : share > 0 ? "warn" : "bad";
  const { nextRotationMs, token } = identity ?? {};
  return html`<h2>Identity</h2><p class="main">${broken(subjectAltName.replace(/^URI:/, ""))}</p><svg class="bar ${kind}" role="img" aria-label="${left}" viewBox="0 0 100 4" preserveAspectRatio="none"><rect class="whole" width="100" height="4"/><rect class="left" width="${
    share * 100
  }" height="4"/></svg><p class="under"><b>${left}</b>, until ${utc(notAfterMs)} UTC</p>${rows([
    ["renewed", nextRotationMs === undefined ? undefined : `in ${span(nextRotationMs - nowMs)}`],
    [
      "token",
      token?.expiresAtMs === undefined ? token?.kind : `${token.kind}, ${span(token.expiresAtMs - nowMs)} left`,
    ],
    ["issuer", issuer],
    ["serial", serialNumber],
    ["from", source === "ca" ? "the CA" : "mounted files"],
  ])}${troubles}`;
}

/** A long name that a line may end in, after each slash. */
function broken(name: string): Html {
  return html`${name.split("/").map((piece, at) => html`${at > 0 && html`/<wbr>`}${piece}`)}`;
}

/** States in which requests are answered. */
const GOOD_STATES = ["running", "responding"];
const BAD_STATES = ["hung", "waiting", "ended"];

export function xdsSection({ controlPlane, xds }: AgentFacts, nowMs: number): Html {
  const { address, state } = controlPlane;
  const isGood = GOOD_STATES.includes(state);
  const isInTable = state.startsWith("Envoy rejected") && xds.some(({ rejection }) => rejection !== undefined);
  return html`<h2>Control plane</h2><p class="main">${address}</p><p class="${isGood ? "state" : "reason"}">${
    isInTable ? "Envoy rejected what it sent, and keeps what it has" : state
  }</p>${
    xds.length > 0 &&
    html`<table><thead><tr><th>type</th><th>state</th><th>has</th><th>version</th><th>taken</th></tr></thead><tbody>${xds.map(
      (type) => typeRows(type, nowMs),
    )}</tbody></table>`
  }`;
}

const VERSION_CHARACTERS = 14;

function typeRows({ name, typeUrl, state, version, syncedMs, resources, rejection }: XdsFacts, nowMs: number): Html {
  const age = syncedMs === undefined ? "never" : `${span(nowMs - syncedMs)} ago`;
  const kind = state === "SYNCED" ? "state" : state === "REJECTED" ? "bad" : "dim";
  return html`<tr><td title="${typeUrl}">${name}</td><td class="${kind}">${state}</td><td>${resources}</td><td title="${version ?? ""}">${shorten(
    version ?? "–",
    VERSION_CHARACTERS,
  )}</td><td><i>${age}</i></td></tr>${
    rejection !== undefined &&
    html`<tr class="rejection"><td colspan="5">${rejection.resource !== undefined && html`<b>${rejection.resource}</b>: `}${rejection.text.trimEnd()}</td></tr>`
  }`;
}

export function envoySection(
  facts: AgentFacts,
  server: ServerFigures | undefined,
  problem: string | undefined,
  nowMs: number,
): Html {
  const { envoy, history, envoyVersion, envoyResidentBytes } = facts;
  const { child } = envoy;
  const crash = history?.lastCrash;
  const memory = envoyResidentBytes ?? server?.memoryBytes;
  return html`<h2>Envoy</h2><p class="main">${envoyVersion} <span class="${
    GOOD_STATES.includes(envoy.kind) ? "state" : BAD_STATES.includes(envoy.kind) ? "bad" : "warn"
  }">${envoy.kind}</span></p>${problem !== undefined && html`<p class="reason">${problem}</p>`}${rows([
    ["uptime", child && span(nowMs - child.startedMs)],
    ["process", child && `pid ${child.pid}, epoch ${child.epoch}`],
    ["memory", memory === undefined ? undefined : bytes(memory)],
    ["connections", server && String(server.connections)],
    ["restarts", history && String(history.restarts)],
    ["last crash", crash && `${crash.reason}, ${span(nowMs - crash.endedMs)} ago`],
    ["evidence", crash?.evidence],
  ])}<h2>Agent</h2>${rows(agentRows(facts, nowMs))}`;
}

function agentRows({ version, runtime, pid, startedMs, residentBytes }: AgentFacts, nowMs: number): Row[] {
  return [
    ["version", `${version}, on ${runtime.name} ${runtime.version}`],
    ["uptime", span(nowMs - startedMs)],
    ["process", `pid ${pid}`],
    ["memory", bytes(residentBytes)],
  ];
}

export function logSection(lines: readonly LogLine[]): Html {
  if (lines.length === 0) return html`<p class="empty">Nothing yet</p>`;
  return html`<ol class="log">${[...lines].reverse().map(({ timeMs, level, scope, text }) => {
    return html`<li class="${level}"><time>${utc(timeMs).slice(11)}</time> <b>${level}</b> ${scope !== "" && html`<i>${scope}</i> `}${text}</li>`;
  })}</ol>`;
}

/** Links only: nothing on this page changes anything. */
export function linksSection({ envoyAddresses }: AgentFacts): Html {
  const own = [
    ["/healthz/ready", "readiness"],
    ["/stats/prometheus", "metrics"],
    ["/debug/agent", "this page as JSON"],
  ] as const;
  const admin = envoyAddresses === undefined ? undefined : `http://${envoyAddresses.admin}`;
  const ofEnvoy = [
    ["/", "Envoy's admin"],
    ["/config_dump", "configuration"],
    ["/clusters", "clusters"],
    ["/stats", "statistics"],
  ] as const;
  return html`${own.map(([path, text]) => html`<a href="${path}">${text}</a> `)}${
    admin !== undefined && ofEnvoy.map(([path, text]) => html`<a href="${admin}${path}" rel="noreferrer">${text}</a> `)
  }`;
}

export function nodeLine({ node }: AgentFacts): Html {
  return html`${node}`;
}
