import { escapeLine, escapeText } from "../base/index.ts";
import { describeReadiness } from "./describe-readiness.ts";
import type { ReadinessBoard } from "./readiness-board.ts";
import type { Route } from "./route.ts";
import { type ScrapeOptions, scrape } from "./scrape.ts";

// What every agent answers. Source: istio/istio pilot/cmd/pilot-agent/status/server.go.

/** 200, or 503 with the reason; `notes` follow, a line each. The same as JSON for who asks for that. */
export function readyRoute(board: ReadinessBoard, notes: () => readonly string[]): Route {
  return {
    path: "/healthz/ready",
    access: "anyone",
    async answer({ request }) {
      const readiness = await board.ask();
      if (wantsJson(request.headers.accept)) {
        const body = escapeText(JSON.stringify({ ...describeReadiness(readiness, Date.now()), notes: notes() }));
        return { status: readiness.isReady ? 200 : 503, body, contentType: "application/json" };
      }
      const lines = [...(readiness.isReady ? [] : [readiness.reason]), ...notes()];
      return { status: readiness.isReady ? 200 : 503, body: lines.map((line) => `${escapeLine(line)}\n`).join("") };
    },
  };
}

/** Only where it is named: `*` and nothing mean text, as with the reference. */
function wantsJson(accept: string | undefined): boolean {
  return (accept ?? "").split(",").some((item) => {
    const [type = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    return type === "application/json" && !parameters.some((one) => /^q=0(\.0*)?$/.test(one));
  });
}

export interface MetricsRouteOptions extends ScrapeOptions {
  /** Only for callers on this machine (`METRICS_LOCALHOST_ACCESS_ONLY`). Default false. */
  readonly areLocalOnly?: boolean;
}

export function metricsRoutes({ areLocalOnly = false, ...options }: MetricsRouteOptions): Route[] {
  return ["/stats/prometheus", "/metrics"].map((path) => ({
    path,
    access: areLocalOnly ? "this machine" : "anyone",
    async answer({ request, query }) {
      return { status: 200, ...(await scrape({ headers: request.headers, query }, options)) };
    },
  }));
}

/** Of Go's profiles only the arguments of the process mean something here. */
export function profileRoute(commandLine: () => Promise<readonly string[]>): Route {
  return {
    path: "/debug/pprof/",
    access: "this machine, no web page", // arguments tell about the workload
    async answer({ path }) {
      if (path === "/debug/pprof/cmdline") return { status: 200, body: (await commandLine()).join("\0") };
      return { status: 501, body: "This agent is not a Go program and has no such profile\n" };
    },
  };
}
