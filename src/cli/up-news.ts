import { AgentError, describeError, escapeLine, oneLine } from "../base/index.ts";
import type { ControlPlaneNews, ListenerPlace } from "../control-plane/index.ts";
import type { EnvoyNews } from "../envoy/supervisor/index.ts";

/** Prints what becomes of the resources, and knows where requests go. */
export interface MeshNews {
  onNews(news: ControlPlaneNews): void;
  /** The port that takes requests: that of listener `outbound`, else `chosenPort` if one has it. Prints later changes. */
  target(chosenPort: number): number | undefined;
  /** A name of the mesh; undefined where its folder has none. */
  name(): string | undefined;
}

export interface NewsOptions {
  /** What the service answers. Default `/hello`. */
  readonly path?: string;
  /** Requests go to names, and are redirected to the chosen port: no other listener gets any. Default false. */
  readonly isTransparent?: boolean;
}

/** Prints a line for each piece of news. */
export function createMeshNews(
  print: (line: string) => void,
  { path = "/hello", isTransparent = false }: NewsOptions = {},
): MeshNews {
  let listeners: readonly ListenerPlace[] = [];
  let names: readonly string[] = [];
  let shown: { readonly chosenPort: number; readonly port: number | undefined } | undefined;
  const find = (chosenPort: number): number | undefined => {
    const byPort = listeners.find(({ port }) => port === chosenPort);
    if (isTransparent) return byPort?.port;
    return (listeners.find(({ name }) => name === "outbound") ?? byPort)?.port;
  };
  const printTarget = (): void => {
    if (shown === undefined) return;
    const { chosenPort, port: earlier } = shown;
    const port = find(chosenPort);
    if (port === earlier) return;
    shown = { chosenPort, port };
    if (port === undefined) print(nothingToTry());
    else print(isTransparent ? "the listener is back" : `the listener has another port now:  ${curlLine(port, path)}`);
  };
  return {
    onNews(news) {
      if (news.kind === "read") {
        listeners = news.listeners;
        names = news.names;
        if (!news.isAgain) return;
        print("files read again; sending changes to Envoy");
        printTarget();
      } else if (news.kind === "not read") {
        const hint = news.error instanceof AgentError && news.error.hint !== undefined ? `; ${news.error.hint}` : "";
        print(escapeLine(`files not used, Envoy keeps what it has: ${describeError(news.error)}${hint}`));
      } else {
        const { typeUrl, message } = news.rejection;
        print(`Envoy refused a ${escapeLine(shortType(typeUrl))} and keeps what it has: ${shorten(message)}`);
      }
    },
    target(chosenPort) {
      shown = { chosenPort, port: find(chosenPort) };
      return shown.port;
    },
    name: () => names[0],
  };
}

/** One line about an Envoy that crashed or was restarted. */
export function describeEnvoyNews(news: EnvoyNews): string {
  if (news.kind === "restarted") return `Envoy runs again, pid ${news.pid}`;
  const { pid, reason, evidence } = news.crash;
  const where = evidence === undefined ? "" : `; evidence in ${evidence}`;
  const seconds = Math.ceil((news.restartInMs ?? 0) / 1_000);
  const then = news.restartInMs === undefined ? "" : `; restarting it ${seconds === 0 ? "now" : `in ${seconds} s`}`;
  return `Envoy exited: ${reason}, pid ${pid}${where}${then}`;
}

/** A request by name, from a program in the network namespace of the mesh. */
export function transparentLine(command: string, name: string | undefined, path: string): string {
  if (name !== undefined) return `Try:  ${command} run --transparent -- curl http://${name}${path}`;
  return [
    'No name to try: the folder has no "names", by which programs in the namespace find addresses. Add YAML such as',
    "  names:",
    "    reviews.default.svc.cluster.local:",
    "      { ips: [240.240.0.1], registry: Kubernetes, shortname: reviews, namespace: default }",
    `and try:  ${command} run --transparent -- curl http://reviews${path}`,
  ].join("\n");
}

export function curlLine(port: number, path: string): string {
  return `curl http://127.0.0.1:${port}${path}`;
}

/** How to add a listener that takes requests. */
export function nothingToTry(): string {
  return [
    `Nothing to try: there is no listener named "outbound", and none on port \${OUTBOUND_PORT}. Add YAML such as`,
    "  listeners:",
    "    - name: outbound",
    `      address: { socket_address: { address: 127.0.0.1, port_value: \${OUTBOUND_PORT} } }`,
    "      filter_chains: [...]    # a whole one: examples/quickstart/xds/mesh.yaml",
    "Envoy follows while you edit.",
  ].join("\n");
}

/** Characters of a reason: Envoy's may quote whole resources. */
const MOST_SHOWN = 400;

/** One line, cut after `MOST_SHOWN` characters. */
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
