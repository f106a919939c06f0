import { join } from "node:path";
import { choosePorts } from "../../agent/ports/index.ts";
import {
  joinHostPort,
  Lifetime,
  type Logger,
  parseGoBool,
  removeTree,
  stoppedOr,
  writeFileAtomically,
} from "../../base/index.ts";
import type { Host } from "../../host/index.ts";
import { PATHS } from "../../istio/index.ts";
import type { Cluster } from "../../kubernetes/index.ts";
import { LAST_GOOD_IN_RUN_FOLDER } from "../defaults/index.ts";
import { type ListenerAddress, listenerPorts, type MovedListener } from "../listener-ports.ts";
import { crashFolder, makeLocalRunFolder, sweepLocalRunFolders } from "../make-local-folder.ts";
import type { RunSidecar, RunWorkload } from "../run-sidecar.ts";
import type { ClonePlan } from "./clone-plan.ts";
import { forwardIstiod, type IstiodForward } from "./forward-istiod.ts";
import { keepCredentials } from "./keep-credentials.ts";
import { parseYaml } from "./mesh-facts.ts";

export interface EnterCloneOptions {
  readonly cluster: Cluster;
  readonly plan: ClonePlan;
  readonly istioNamespace: string;
  readonly revision: string | undefined;
  /** Command lines that reach its listeners, by the ports on which they are. Default: none. */
  readonly tries?: ((at: (port: number) => ListenerAddress) => readonly string[]) | undefined;
  /** What they are missing. Default: nothing. */
  readonly notes?: readonly string[] | undefined;
  readonly host: Host;
  readonly log: Logger;
}

/** Rejects as `keepCredentials` and `forwardIstiod` do; nothing is left then. */
export async function enterClone(options: EnterCloneOptions): Promise<RunWorkload> {
  const { host, log } = options;
  const life = new Lifetime();
  try {
    const sweeping = sweepLocalRunFolders(host, log);
    life.defer("old run folders", () => sweeping); // nothing goes on after a start that fails
    const folder = await makeLocalRunFolder(host, log);
    life.defer("run folder", () => removeTree(folder));
    const entered = await enterIn(folder, options, life);
    await sweeping;
    return { ...entered, folder, [Symbol.asyncDispose]: () => life[Symbol.asyncDispose]() };
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw stoppedOr(error, host.signals.stop);
  }
}

async function enterIn(folder: string, options: EnterCloneOptions, life: Lifetime) {
  const { cluster, plan, istioNamespace, host, log } = options;
  const { presents, annotations } = plan;
  const starting = new AbortController(); // the first signal ends a start, but not what the proxy needs while it drains
  const stop = (): void => starting.abort(host.signals.stop.reason);
  if (host.signals.stop.aborted) stop();
  host.signals.stop.addEventListener("abort", stop);
  try {
    await writeFileAtomically(join(folder, PATHS.podLabels), asDownwardApi(presents.labels));
    await writeFileAtomically(join(folder, PATHS.podAnnotations), asDownwardApi(annotations));
    const identity = { namespace: presents.namespace, serviceAccount: presents.serviceAccount };
    const credentials = { cluster, ...identity, istioNamespace, folder, log };
    await life.own("credentials", keepCredentials(credentials, starting.signal));
    const choice = { cluster, istioNamespace, revision: options.revision, log };
    const forward = await life.own("forward", forwardIstiod(choice, starting.signal));
    return await wordsOf(options, forward);
  } finally {
    host.signals.stop.removeEventListener("abort", stop);
  }
}

const LOOPBACK_ONLY = "PILOTBOAT_LOOPBACK_ONLY";
const CONFINED = `open to this machine alone, where they would be to all; ${LOOPBACK_ONLY}=false opens them`;

type AddressRow = RunSidecar["addresses"][number];

function movedRow({ address, from, to, why }: MovedListener): AddressRow {
  return ["moved", `${joinHostPort(address, from)} is at ${to}: ${why}`];
}

/** Named in the shell these would lead elsewhere. */
const OWN_VARIABLES = ["CA_ADDR", "CA_ROOT_CA", "XDS_ROOT_CA", "PROV_CERT", "FILE_MOUNTED_CERTS", "ISTIOD_SAN"];

/** What the pod says lies above the shell, because it was printed. */
async function wordsOf({ plan, host, tries = () => [], notes = [] }: EnterCloneOptions, forward: IstiodForward) {
  const [httpProxyPort = 0] = await choosePorts(1);
  const httpProxy = `http://127.0.0.1:${httpProxyPort}`;
  const own = {
    source: "pilotboat clone",
    variables: {
      ISTIOD_SAN: forward.istiodSan,
      ...(plan.role === "sidecar" && { ISTIO_META_HTTP_PROXY_PORT: String(httpProxyPort) }),
      [LOOPBACK_ONLY]: "true",
      PILOTBOAT_CRASH_FOLDER: crashFolder(host.env), // the run folder does not outlive the run
      PILOTBOAT_LAST_GOOD_FOLDER: LAST_GOOD_IN_RUN_FOLDER,
    },
    proxyConfig: { discoveryAddress: `localhost:${forward.port}` },
  };
  const stated = plan.defaults.flatMap(({ variables = {} }) => Object.keys(variables));
  const hidden = new Set([...stated, ...OWN_VARIABLES]);
  // nothing of the shell may change who the clone is: that was printed
  const isPresented = (name: string): boolean => hidden.has(name) || /^ISTIO_META(JSON)?_/.test(name);
  const env = Object.fromEntries(Object.entries(host.env).filter(([name]) => !isPresented(name)));
  const shellConfig = await withoutIdentity(host.env.PROXY_CONFIG);
  const isOpen = parseGoBool(host.env[LOOPBACK_ONLY] ?? "") === false;
  const ports = listenerPorts(plan.appPorts, { keepsInbound: plan.role === "router", isOpen });
  return {
    role: plan.role,
    flags: [`--domain=${plan.domain}`],
    defaults: [...plan.defaults, own],
    env: { ...env, ...shellConfig },
    addresses: () => [
      ["istiod", `localhost:${forward.port}, now pod ${forward.pod()}, revision ${forward.revision}`] as const,
      ...(plan.role === "sidecar"
        ? [["http proxy", `${httpProxy}  (http_proxy for every HTTP service of the mesh)`] as const]
        : []),
      ...(ports.isConfined() ? [["listeners", CONFINED] as const] : []),
      ...ports.moved().map(movedRow),
      ...tries(ports.at).map((line) => ["try", line] as const),
      ...notes.map((note) => ["not shown", note] as const),
    ],
    onLater: (tell: (row: AddressRow) => void) => ports.onMoved((listener) => tell(movedRow(listener))),
    placeListener: ports.place,
    variables: plan.role === "sidecar" ? { PILOTBOAT_HTTP_PROXY: httpProxy } : {},
  };
}

const OF_THE_IDENTITY = ["discoveryAddress", "discovery_address", "proxyMetadata", "proxy_metadata"];

/** The port-forward is the way, and the metadata are the pod's; whatever else the shell says of the proxy holds. */
async function withoutIdentity(text = ""): Promise<Record<string, string>> {
  const fields = await parseYaml(text);
  if (!OF_THE_IDENTITY.some((name) => name in fields)) return {};
  return { PROXY_CONFIG: JSON.stringify(without(fields, OF_THE_IDENTITY)) };
}

function without(fields: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));
}

function asDownwardApi(texts: Readonly<Record<string, string>>): string {
  return Object.entries(texts)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}\n`)
    .join("");
}
