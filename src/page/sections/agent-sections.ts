import { type Html, html } from "../markup/html.ts";
import { bytes, span, utc } from "../markup/words.ts";
import type { AgentFacts, IdentityFacts, LogLine, Readiness } from "../model/facts.ts";
import type { ServerFigures } from "../model/read-traffic.ts";

// Each section is the inside of an element that the document has; the stream replaces it when it changes.

export function readySection(readiness: Readiness, facts: AgentFacts): Html {
  const notes = [
    ...facts.leftOut.map(({ filter, lost }) => `This Envoy does not have "${filter}"; lost: ${lost}`),
    ...facts.substitutedWasm.map(({ name, consequence }) => `Without its Wasm module: "${name}"; ${consequence}`),
  ];
  return html`<p class="badge ${readiness.isReady ? "good" : "bad"}">${readiness.isReady ? "Ready" : "Not ready"}</p>${
    !readiness.isReady && html`<p class="reason">${readiness.reason}</p>`
  }${notes.length > 0 && html`<ul class="notes">${notes.map((note) => html`<li>${note}</li>`)}</ul>`}`;
}

type Row = readonly [name: string, value: Html | string | undefined];

function rows(all: readonly Row[]): Html {
  const shown = all.filter(([, value]) => value !== undefined);
  return html`<dl>${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function identitySection(identity: IdentityFacts | undefined, nowMs: number): Html {
  const certificate = identity?.certificate;
  const troubles = (identity?.troubles ?? []).map((trouble) => html`<p class="reason">${trouble}</p>`);
  if (certificate === undefined) return html`<h2>Identity</h2><p class="empty">No certificate yet</p>${troubles}`;
  const { notBeforeMs, notAfterMs, subjectAltName, issuer, serialNumber, source } = certificate;
  const share = Math.min(1, Math.max(0, (notAfterMs - nowMs) / (notAfterMs - notBeforeMs)));
  const left = notAfterMs > nowMs ? `${span(notAfterMs - nowMs)} left` : `expired ${span(nowMs - notAfterMs)} ago`;
  const kind = share > 0.2 ? "good" : share > 0 ? "warn" : "bad";
  const { nextRotationMs, token } = identity ?? {};
  return html`<h2>Identity</h2><p class="main">${subjectAltName.replace(/^URI:/, "")}</p><svg class="bar ${kind}" role="img" aria-label="${left}" viewBox="0 0 100 4" preserveAspectRatio="none"><rect class="whole" width="100" height="4"/><rect class="left" width="${
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

/** States in which requests are answered. */
const GOOD_STATES = ["running", "responding"];

export function xdsSection({ controlPlane }: AgentFacts): Html {
  const { address, state } = controlPlane;
  return html`<h2>Control plane</h2><p class="main">${address}</p><p class="${
    GOOD_STATES.includes(state) ? "state" : "reason"
  }">${state}</p>`;
}

export function envoySection(
  { envoy, history, version, pid }: AgentFacts,
  server: ServerFigures | undefined,
  problem: string | undefined,
  nowMs: number,
): Html {
  const { child } = envoy;
  const crash = history?.lastCrash;
  return html`<h2>Envoy</h2><p class="main">${envoy.kind}${child !== undefined && `, for ${span(nowMs - child.startedMs)}`}</p>${
    problem !== undefined && html`<p class="reason">${problem}</p>`
  }${rows([
    ["process", child === undefined ? undefined : `pid ${child.pid}, epoch ${child.epoch}`],
    ["memory", server === undefined ? undefined : bytes(server.memoryBytes)],
    ["connections", server === undefined ? undefined : String(server.connections)],
    ["restarts", history === undefined ? undefined : String(history.restarts)],
    ["last crash", crash && `${crash.reason}, ${span(nowMs - crash.endedMs)} ago`],
    ["evidence", crash?.evidence],
    ["agent", `pilotboat ${version}, pid ${pid}, ${bytes(process.memoryUsage.rss())}`],
  ])}`;
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
