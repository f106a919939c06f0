import type { IncomingMessage } from "node:http";
import { describeError, escapeLine, escapeText } from "../base/index.ts";
import type { StatusOptions } from "./options.ts";
import type { Reply } from "./reply.ts";
import { scrape, TEXT_FORMAT } from "./scrape.ts";

export interface Call {
  readonly request: IncomingMessage;
  /** With its question mark, or empty. */
  readonly query: string;
  readonly options: StatusOptions;
  /** Aborts when the agent begins to end; most is answered on. */
  readonly stop: AbortSignal;
}

/** A reply, and what happens once it has left. */
export type Outcome = Reply & { readonly afterwards?: () => void };

interface Route {
  readonly answer: (call: Call) => Promise<Outcome> | Outcome;
  readonly isLocalOnly?: boolean | ((options: StatusOptions) => boolean);
  /** Absent: any method. */
  readonly method?: "POST";
}

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>(
  Object.entries({
    "/healthz/ready": { answer: ready },
    "/stats/prometheus": { answer: metrics, isLocalOnly: (options) => options.metricsForLocalhostOnly === true },
    "/metrics": { answer: metrics, isLocalOnly: (options) => options.metricsForLocalhostOnly === true },
    "/quitquitquit": { answer: quit, isLocalOnly: true, method: "POST" },
    "/drain": { answer: drain, isLocalOnly: true, method: "POST" },
    "/reload": { answer: reload, isLocalOnly: true, method: "POST" },
    "/debug/agent": { answer: agentReport, isLocalOnly: true },
    "/debug/ndsz": { answer: nameTable, isLocalOnly: true },
  }),
);

const PROFILES: Route = { answer: profile, isLocalOnly: true };

/** Finds and runs the route of a call: cleaned path first, then who asks, then how. */
export async function route(request: IncomingMessage, options: StatusOptions, stop: AbortSignal): Promise<Outcome> {
  const { path, query } = splitTarget(request.url ?? "/");
  const clean = cleanPath(path);
  if (clean !== path) return { status: 301, body: "", headers: { Location: clean + query } };
  const found = ROUTES.get(path) ?? (isProfilePath(path) && options.commandLine !== undefined ? PROFILES : undefined);
  if (found === undefined) return { status: 404, body: "404 page not found\n" };
  const { isLocalOnly = false } = found;
  const mustBeLocal = typeof isLocalOnly === "function" ? isLocalOnly(options) : isLocalOnly;
  if (mustBeLocal && !isLoopback(request.socket.remoteAddress)) {
    return { ...plainError("Only requests from localhost are allowed"), status: 403 };
  }
  if (found.method !== undefined && request.method !== found.method) {
    return { ...plainError("Method Not Allowed"), status: 405 };
  }
  return await found.answer({ request, query, options, stop });
}

/** Whether a peer address is this machine: 127.0.0.0/8, ::1 and the IPv4-mapped forms. */
export function isLoopback(address: string | undefined): boolean {
  return address === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/i.test(address ?? "");
}

async function ready({ options }: Call): Promise<Outcome> {
  const readiness = await options.board.ask();
  const lines = [...(readiness.isReady ? [] : [readiness.reason]), ...(options.notes?.() ?? [])];
  return { status: readiness.isReady ? 200 : 503, body: lines.map((line) => `${escapeLine(line)}\n`).join("") };
}

async function metrics({ request, query, options }: Call): Promise<Outcome> {
  return { status: 200, body: await scrape({ headers: request.headers, query }, options), contentType: TEXT_FORMAT };
}

function agentReport({ options }: Call): Outcome {
  if (options.agentReport === undefined) return { status: 404, body: "{}" };
  return { status: 200, body: escapeText(JSON.stringify(options.agentReport())), contentType: "application/json" };
}

function quit({ options }: Call): Outcome {
  options.log.info("quitquitquit called, stopping");
  return { status: 200, body: "OK", afterwards: options.quit };
}

async function drain({ options }: Call): Promise<Outcome> {
  try {
    await options.drain();
  } catch (error) {
    options.log.warn("drain failed", { reason: describeError(error) }); // a preStop hook can do nothing about it
  }
  return { status: 200, body: "OK" };
}

/**
 * A refusal is no fault of the server: 409 with the same report. The agent's end is one at once, while there is still
 * somebody to say it.
 */
async function reload({ options, query, stop }: Call): Promise<Outcome> {
  if (options.reload === undefined) return { ...plainError("There is no Envoy to reload"), status: 409 };
  const report = stop.aborted
    ? ENDING
    : await unlessEnding(options.reload({ evenIfUnchanged: query !== "?if=changed" }), stop);
  const status = report.outcome === "refused" ? 409 : 200;
  return { status, body: escapeText(JSON.stringify(report)), contentType: "application/json" };
}

const ENDING = {
  outcome: "refused",
  reason: "the agent is ending",
  changes: [],
  warnings: [],
  drainLeftSeconds: 0,
  ms: 0,
} as const;

async function unlessEnding<T>(work: Promise<T>, stop: AbortSignal): Promise<T | typeof ENDING> {
  const done = new AbortController();
  const ending = new Promise<typeof ENDING>((resolve) => {
    stop.addEventListener("abort", () => resolve(ENDING), { once: true, signal: done.signal });
  });
  return Promise.race([work, ending]).finally(() => done.abort());
}

function nameTable({ options }: Call): Outcome {
  const table = options.nameTable?.();
  if (table === undefined) return { status: 404, body: "{}" };
  return { status: 200, body: escapeText(JSON.stringify(table)), contentType: "application/json" };
}

function profile({ request, options }: Call): Outcome {
  const { path } = splitTarget(request.url ?? "/");
  if (path === "/debug/pprof/cmdline") return { status: 200, body: (options.commandLine ?? []).join("\0") };
  return { status: 501, body: "This agent is not a Go program and has no such profile\n" };
}

const plainError = (text: string) => ({ body: `${text}\n`, headers: { "X-Content-Type-Options": "nosniff" } });

function isProfilePath(path: string): boolean {
  return path.startsWith("/debug/pprof/");
}

function splitTarget(target: string): { path: string; query: string } {
  const relative = target.startsWith("/") ? target : target.replace(/^[a-z]+:\/\/[^/?]*/i, "");
  const at = relative.indexOf("?");
  return at < 0 ? { path: relative || "/", query: "" } : { path: relative.slice(0, at), query: relative.slice(at) };
}

/** Without empty and dot segments; a final slash stays. */
function cleanPath(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/");
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const endsWithSlash = kept.length > 0 && ["", ".", ".."].includes(segments.at(-1) ?? "");
  return `/${kept.join("/")}${endsWithSlash ? "/" : ""}`;
}
