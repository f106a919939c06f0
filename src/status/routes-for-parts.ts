import { describeError, escapeText, type Logger } from "../base/index.ts";
import { plainError, type Route } from "./route.ts";

// Routes whose form is ours or Istio's, and whose content is a part's.

/** A value of the moment as JSON, 404 with `{}` while there is none. It tells about the workload: no page may read it by a name of its own. */
export function jsonRoute(path: string, value: () => unknown | Promise<unknown>): Route {
  return {
    path,
    access: "this machine, no web page",
    async answer() {
      const found = await value();
      if (found === undefined) return { status: 404, body: "{}" };
      return { status: 200, body: escapeText(JSON.stringify(found)), contentType: "application/json" };
    },
  };
}

/** `POST /quitquitquit`: `quit` is called once the answer has left. */
export function quitRoute(quit: () => void, log: Logger): Route {
  return {
    path: "/quitquitquit",
    access: "this machine, no web page",
    method: "POST",
    answer() {
      log.info("quitquitquit called, stopping");
      return { status: 200, body: "OK", afterwards: quit };
    },
  };
}

/** `POST /drain`: the answer waits for the drain. */
export function drainRoute(drain: () => Promise<void>, log: Logger): Route {
  return {
    path: "/drain",
    access: "this machine, no web page",
    method: "POST",
    async answer() {
      try {
        await drain();
      } catch (error) {
        log.warn("drain failed", { reason: describeError(error) }); // a preStop hook can do nothing about it
      }
      return { status: 200, body: "OK" };
    },
  };
}

/** What `POST /reload` does, and with `?if=changed` only where that has another result; resolves with a JSON-ready report. */
export type ReloadCall = (options: { readonly evenIfUnchanged: boolean }) => Promise<{ readonly outcome: string }>;

/**
 * `POST /reload`. A refusal is no fault of the server: 409 with the same report. The agent's end is one at once, while
 * there is still somebody to say it. `reload` is undefined where there is nothing to reload.
 */
export function reloadRoute(reload: ReloadCall | undefined): Route {
  return {
    path: "/reload",
    access: "this machine, no web page",
    method: "POST",
    async answer({ query, stop }) {
      if (reload === undefined) return { ...plainError("There is no Envoy to reload"), status: 409 };
      const report = stop.aborted
        ? ENDING
        : await unlessEnding(reload({ evenIfUnchanged: query !== "?if=changed" }), stop);
      const status = report.outcome === "refused" ? 409 : 200;
      return { status, body: escapeText(JSON.stringify(report)), contentType: "application/json" };
    },
  };
}

const ENDING = {
  outcome: "refused",
  reason: "the agent is stopping",
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
