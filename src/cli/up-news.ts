import { AgentError, describeError, escapeLine, oneLine } from "../base/index.ts";
import type { ControlPlaneNews, ListenerPlace } from "../control-plane/index.ts";
import type { EnvoyNews } from "../envoy/supervisor/index.ts";

/** What `up` tells of the resources, and where to send a request. */
export interface MeshNews {
  onNews(news: ControlPlaneNews): void;
  /** The port to send requests to, of the listener `outbound` or the one on `chosenPort`; from now on changes are told. */
  target(chosenPort: number): number | undefined;
}

/** Prints a line for each piece of news; `path` is one that the service answers. */
export function createMeshNews(print: (line: string) => void, path = "/hello"): MeshNews {
  let listeners: readonly ListenerPlace[] = [];
  let told: { readonly chosenPort: number; readonly port: number | undefined } | undefined;
  const find = (chosenPort: number): number | undefined => {
    const found =
      listeners.find(({ name }) => name === "outbound") ?? listeners.find(({ port }) => port === chosenPort);
    return found?.port;
  };
  const tellTarget = (): void => {
    if (told === undefined) return;
    const { chosenPort, port: earlier } = told;
    const port = find(chosenPort);
    if (port === earlier) return;
    told = { chosenPort, port };
    print(port === undefined ? nothingToTry() : `the listener has another port now:  ${curlLine(port, path)}`);
  };
  return {
    onNews(news) {
      if (news.kind === "read") {
        listeners = news.listeners;
        if (!news.isAgain) return;
        print("files read again; sending changes to Envoy");
        tellTarget();
      } else if (news.kind === "not read") {
        const hint = news.error instanceof AgentError && news.error.hint !== undefined ? `; ${news.error.hint}` : "";
        print(escapeLine(`files not used, Envoy keeps what it has: ${describeError(news.error)}${hint}`));
      } else {
        const { typeUrl, message } = news.rejection;
        print(`Envoy refused a ${escapeLine(shortType(typeUrl))} and keeps what it has: ${shorten(message)}`);
      }
    },
    target(chosenPort) {
      told = { chosenPort, port: find(chosenPort) };
      return told.port;
    },
  };
}

/** A line for an Envoy that crashed, or that was started again. */
export function describeEnvoyNews(news: EnvoyNews): string {
  if (news.kind === "restarted") return `Envoy runs again, pid ${news.pid}`;
  const { pid, reason, evidence } = news.crash;
  const where = evidence === undefined ? "" : `; evidence in ${evidence}`;
  const seconds = Math.ceil((news.restartInMs ?? 0) / 1_000);
  const then = news.restartInMs === undefined ? "" : `; restarting it ${seconds === 0 ? "now" : `in ${seconds} s`}`;
  return `Envoy exited: ${reason}, pid ${pid}${where}${then}`;
}

export function curlLine(port: number, path: string): string {
  return `curl http://127.0.0.1:${port}${path}`;
}

/** What is wanted, where no listener is the one to send requests to. */
export function nothingToTry(): string {
  return [
    `Nothing to try: there is no listener named "outbound", and none on port \${OUTBOUND_PORT}. Wanted is YAML such as`,
    "  listeners:",
    "    - name: outbound",
    `      address: { socket_address: { address: 127.0.0.1, port_value: \${OUTBOUND_PORT} } }`,
    "      filter_chains: [...]    # a whole one: examples/quickstart/xds/mesh.yaml",
    "Envoy follows while you edit.",
  ].join("\n");
}

/** Of a reason in one line: Envoy's may quote whole resources. */
const MOST_SHOWN = 400;

/** On one line, and cut where it is too long to be read. */
export function shorten(text: string): string {
  const line = escapeLine(oneLine(text, " "));
  return line.length <= MOST_SHOWN
    ? line
    : `${line.slice(0, MOST_SHOWN)}… (${line.length - MOST_SHOWN} more characters)`;
}

/** `Listener` of `type.googleapis.com/envoy.config.listener.v3.Listener`. */
function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf(".") + 1);
}
