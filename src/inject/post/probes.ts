import { escapeGoJson, goJson, parseGoBool } from "../../base/index.ts";
import { type Tree, textsOf, treeOf, treesOf } from "../pod/json.ts";
import { containerOf, containersOf, mapContainers, mapSidecar, PROXY, withEnv } from "./containers.ts";

export interface ProbeOptions {
  /** Whether the mesh wants it; the pod's annotation decides before. */
  readonly isWanted: boolean;
  /** Of the mesh. */
  readonly statusPort: number;
}

/**
 * Leads the probes and lifecycle calls of the application's containers to the agent, which finds the originals in
 * `ISTIO_KUBE_APP_PROBERS`. Source: istio/istio pkg/kube/inject/app_probe.go.
 */
export function rewriteProbes(pod: Tree, { isWanted, statusPort }: ProbeOptions): Tree {
  if (containerOf(pod, PROXY) === undefined) return pod;
  const annotations = textsOf(treeOf(pod.metadata).annotations);
  if (!(parseGoBool(annotations["sidecar.istio.io/rewriteAppHTTPProbers"] ?? "") ?? isWanted)) return pod;
  const isInjected = annotations["sidecar.istio.io/status"] !== undefined;
  const probers = probersOf(pod, statusPort);
  const told =
    Object.keys(probers).length === 0 ? pod : mapSidecar(pod, (one) => withProbers(one, probers, isInjected));
  const port = Number(annotations["status.sidecar.istio.io/port"] ?? statusPort);
  return mapContainers(told, (container) => (container.name === PROXY ? container : rewritten(container, port)));
}

const VARIABLE = "ISTIO_KUBE_APP_PROBERS";

/** What a kubelet can call, and where the agent answers in the application's place. */
const CALLS = [
  { at: ["readinessProbe"], path: "app-health", name: "readyz" },
  { at: ["livenessProbe"], path: "app-health", name: "livez" },
  { at: ["startupProbe"], path: "app-health", name: "startupz" },
  { at: ["lifecycle", "preStop"], path: "app-lifecycle", name: "prestopz" },
  { at: ["lifecycle", "postStart"], path: "app-lifecycle", name: "poststartz" },
] as const;

type Call = (typeof CALLS)[number];
type Probers = Readonly<Record<string, Tree>>;

function probersOf(pod: Tree, statusPort: number): Probers {
  const containers = [...containersOf(pod, "initContainers"), ...containersOf(pod, "containers")];
  const entries = containers
    .filter(({ name }) => name !== PROXY)
    .flatMap((container) =>
      CALLS.flatMap((call) => {
        const prober = proberOf(callOf(container, call), call, portsOf(container), statusPort);
        return prober === undefined ? [] : [[urlOf(container, call), prober] as const];
      }),
    );
  return Object.fromEntries(entries);
}

function callOf(container: Tree, { at: [first, second] }: Call): Tree {
  const outer = treeOf(container[first]);
  return second === undefined ? outer : treeOf(outer[second]);
}

function urlOf({ name }: Tree, call: Call): string {
  return `/${call.path}/${name}/${call.name}`;
}

function portsOf(container: Tree): ReadonlyMap<unknown, unknown> {
  return new Map(treesOf(container.ports).map(({ name, containerPort }) => [name, containerPort]));
}

/** Undefined for what the agent does not ask: a program, a port name that the container lacks, the agent itself. */
function proberOf(
  call: Tree,
  { at }: Call,
  ports: ReadonlyMap<unknown, unknown>,
  statusPort: number,
): Tree | undefined {
  const timeout = at.length === 1 && call.timeoutSeconds !== undefined ? { timeoutSeconds: call.timeoutSeconds } : {};
  for (const kind of ["httpGet", "tcpSocket"] as const) {
    const action = call[kind];
    if (action === undefined) continue;
    const written = treeOf(action).port;
    const port = typeof written === "string" ? ports.get(written) : written;
    if (port === undefined || written === statusPort) return undefined;
    const resolved = Object.entries(treeOf(action)).map(([name, value]) => [name, name === "port" ? port : value]);
    return { [kind]: Object.fromEntries(resolved), ...timeout };
  }
  return at.length === 1 && call.grpc !== undefined ? { grpc: call.grpc, ...timeout } : undefined;
}

/** Of an earlier injection the probers are kept: the probes of the pod lead to the agent already. */
function withProbers(sidecar: Tree, probers: Probers, isInjected: boolean): Tree {
  const env = treesOf(sidecar.env);
  const at = isInjected ? env.findIndex(({ name }) => name === VARIABLE) : -1;
  if (at < 0) return withEnv(sidecar, { name: VARIABLE, value: textOf(probers) });
  const earlier = earlierProbers(env[at]?.value);
  if (earlier === undefined) return sidecar;
  return { ...sidecar, env: env.with(at, { name: VARIABLE, value: textOf({ ...probers, ...earlier }) }) };
}

function earlierProbers(text: unknown): Probers | undefined {
  try {
    return treeOf(JSON.parse(String(text))) as Probers;
  } catch {
    return undefined; // the injector leaves it, too
  }
}

/** Paths in their order, as Go writes a map; what they lead to as it writes a struct. */
function textOf(probers: Probers): string {
  const members = Object.entries(probers).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([url, prober]) => `${goJson(url)}:${escapeGoJson(JSON.stringify(prober))}`).join(",")}}`;
}

function rewritten(container: Tree, statusPort: number): Tree {
  let result = container;
  for (const call of CALLS) {
    const { httpGet, tcpSocket, grpc, ...rest } = callOf(result, call);
    const isAsked = httpGet !== undefined || tcpSocket !== undefined || (grpc !== undefined && call.at.length === 1);
    if (!isAsked) continue;
    const action: Record<string, unknown> = { ...treeOf(httpGet), path: urlOf(container, call), port: statusPort };
    if (action.scheme === "HTTPS") action.scheme = "HTTP";
    const after = { ...rest, httpGet: action };
    const [first, second] = call.at;
    result = { ...result, [first]: second === undefined ? after : { ...treeOf(result[first]), [second]: after } };
  }
  return result;
}
