import { hideSecretsInText } from "../../istio/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { AgentFacts, Page } from "../../page/index.ts";
import type { Route } from "../../status/index.ts";
import type { Part, Serving, Shown, Surroundings } from "./part.ts";

type Answer = Route["answer"];

/**
 * Of an answer of Envoy's admin: the configuration of a large mesh is longer than other answers may be. Four times as much
 * would stop the agent, which serves readiness and certificates, for seconds, and take more than 1 GiB.
 */
const MOST_BYTES = 64 * 2 ** 20;

/** The page at `/` of the status port. Its code is loaded by the first look. */
export class PagePart implements Part {
  readonly #around: Surroundings;
  readonly #node: () => Promise<NodeDescription>;
  readonly #over = new AbortController();
  #page: Promise<Page> | undefined;

  constructor(around: Surroundings, node: () => Promise<NodeDescription>) {
    this.#around = around;
    this.#node = node;
  }

  async serve({ life }: Serving): Promise<void> {
    life.defer("page", () => this.#over.abort(new Error("the agent is closing")));
  }

  async routes(shown: Shown): Promise<readonly Route[]> {
    const page = (): Promise<Page> => {
      this.#page ??= this.#make(shown);
      return this.#page;
    };
    const document: Answer = async () => {
      const { headers, document } = await page();
      return { status: 200, headers, contentType: "text/html; charset=utf-8", body: await document() };
    };
    const events: Answer = async ({ request }) => {
      const { headers, events } = await page();
      const body = request.method === "HEAD" ? "" : events();
      if (body === undefined)
        return { status: 503, headers: { "Retry-After": "10" }, body: "Too many pages are open\n" };
      return { status: 200, headers, contentType: "text/event-stream", body };
    };
    return [route("/", document), route("/events", events)];
  }

  async #make({ report, readiness }: Shown): Promise<Page> {
    const { createPage } = await import("../../page/index.ts");
    const { config, recentLines } = this.#around;
    const { settings, proxy } = config;
    const { adminAccess } = await import("../../status/index.ts");
    const { family } = await this.#node();
    return createPage({
      facts: async () => (await report()) as AgentFacts,
      watchReadiness: (listener) => readiness.watch(listener),
      adminGet: settings.isEnvoyDisabled ? undefined : adminAccess(family.localhost, proxy.proxyAdminPort, MOST_BYTES),
      logLines: () => recentLines().map((line) => ({ ...line, text: hideSecretsInText(line.text) })),
      over: this.#over.signal,
    });
  }
}

/** It tells about the workload, and only tells. */
function route(path: string, answer: Answer): Route {
  return {
    path,
    access: "this machine, no web page",
    answer(call) {
      if (call.request.method === "GET" || call.request.method === "HEAD") return answer(call);
      return { status: 405, headers: { Allow: "GET, HEAD" }, body: "Method Not Allowed\n" };
    },
  };
}
