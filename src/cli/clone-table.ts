import type { Host } from "../host/index.ts";
import type { CloneChange, ClonePlan } from "../local/cluster/index.ts";
import { nameTable, type Row, stdoutOf, strong } from "./terminal/index.ts";

/** What `clone` prints before it does anything. */
export interface ToldClone {
  readonly context: string;
  /** For people: `the clone of pod "web"`. */
  readonly what: string;
  readonly presents: ClonePlan["presents"];
  readonly changes: readonly CloneChange[];
}

/** What holds here whatever the pod says. */
const ALWAYS: readonly CloneChange[] = [
  {
    names: ["discoveryAddress"],
    here: "localhost, a port-forward to istiod",
    why: "istiod is reached through the API server",
  },
  { names: ["statusPort", "proxyAdminPort"], here: "free ports", why: "several sidecars run side by side" },
];
const OF_SIDECARS: readonly CloneChange[] = [
  {
    names: ["listeners"],
    here: "outbound ones, on ports that are free",
    why: "what is sent to the pod does not come here",
  },
  {
    names: ["ISTIO_META_HTTP_PROXY_PORT"],
    here: "a free port",
    why: "Envoy is an HTTP proxy there, for services of every port",
  },
];
const OF_GATEWAYS: readonly CloneChange[] = [
  {
    names: ["listeners"],
    here: "moved where this machine does not have their port",
    why: "the ports and curl lines that reach them are printed later",
  },
];

export function describeClone(
  { presents, changes, role }: ClonePlan,
  told: Pick<ToldClone, "context" | "what">,
): ToldClone {
  return {
    ...told,
    presents,
    changes: [...ALWAYS, ...(role === "router" ? OF_GATEWAYS : OF_SIDECARS), ...changes],
  };
}

export function printClone(told: ToldClone, isJson: boolean, host: Pick<Host, "stdout" | "env">): void {
  if (isJson) {
    host.stdout.write(`${JSON.stringify(told, null, 2)}\n`);
    return;
  }
  const terminal = stdoutOf(host);
  const { width } = terminal;
  const changes = told.changes.map(({ names, here = "left out", why }): Row => [names.join(", "), `${here}: ${why}`]);
  terminal.print([
    strong(`What istiod sees of ${told.what} in context "${told.context}"`),
    "\n",
    nameTable(presentedRows(told.presents), { width, indent: 2 }),
    strong("What is not as in the cluster"),
    "\n",
    nameTable(changes, { width, indent: 2 }),
  ]);
}

function presentedRows({
  labels,
  revision = "default, or the only one",
  network,
  ...presents
}: ToldClone["presents"]): Row[] {
  const told = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return [
    ["node id", presents.id],
    ["namespace", presents.namespace],
    ["service account", presents.serviceAccount],
    ["SPIFFE id", `spiffe://${presents.trustDomain}/ns/${presents.namespace}/sa/${presents.serviceAccount}`],
    ["labels", told.length === 0 ? "none" : told.join(", ")],
    ["cluster", presents.cluster],
    ["network", network === "" ? "none" : network],
    ["revision", revision],
    ["workload", presents.workload === "" ? "none" : presents.workload],
  ];
}
