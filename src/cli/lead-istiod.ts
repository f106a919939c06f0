import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { AgentError, createLogger, shellWord, tryTcp } from "../base/index.ts";
import { type Host, xdgFolder } from "../host/index.ts";
import type { Cluster } from "../kubernetes/index.ts";
import {
  findMachineAddress,
  type LocalIstiod,
  leadServiceHere,
  type MachineAddress,
  type Restored,
  restoreService,
  type ServicePlace,
  savedFile,
} from "../local/cluster/local-istiod/index.ts";
import { checkNamespace, confirmCluster, openNamedCluster } from "./cluster-words.ts";
import { asCalled, type Input, PROGRAM } from "./contract/index.ts";
import { parseServicePort } from "./parse-port.ts";
import { printWarnings } from "./print-error.ts";
import type { LOCAL_ISTIOD_FLAGS } from "./use-local-istiod-flags.ts";

type Words = Input<typeof LOCAL_ISTIOD_FLAGS>;
type Flags = Words["flags"];

/** The port of a Service of istiod that proxies use, by its name in Istio's charts. */
const XDS_PORT_NAME = "https-dns";
const RESTORE_LIMIT_MS = 60_000;

/** Leads the Service here until a signal, or with `--restore` puts back what a run has left. Resolves with the exit code. */
export async function leadOrRestore({ flags, given }: Pick<Words, "flags" | "given">, host: Host): Promise<number> {
  const { address } = flags;
  if (address !== undefined && isIP(address) === 0)
    throw new AgentError("USAGE", `Cannot use --address "${address}", wanted an IP address`);
  const ports = readPorts(flags.port);
  const cluster = await openNamedCluster(flags, host);
  const service = serviceNamed(flags);
  const stateFolder = join(xdgFolder(host.env, "XDG_STATE_HOME", ".local/state"), "pilotboat", "local-istiod");
  const log = createLogger({ write: (line) => host.stderr.write(line) });
  if (flags.restore) {
    const limit = AbortSignal.any([host.signals.stop, AbortSignal.timeout(RESTORE_LIMIT_MS)]);
    const file = savedFile(stateFolder, cluster.server, service);
    host.stdout.write(
      `${restoredText(await restoreService({ cluster, place: service, file, log }, limit), service)}\n`,
    );
    return 0;
  }
  const { stop } = host.signals;
  await confirmCluster(
    cluster,
    `lead Service "${service.name}" in namespace "${service.namespace}" to this machine`,
    flags,
    host,
  );
  const here =
    address === undefined
      ? await findMachineAddress(cluster, networkInterfaces(), stop)
      : { address, why: "was given" };
  const restoreCommand = asCalled(`pilotboat use-local-istiod --restore${sameWords(given)}`, host.program ?? PROGRAM);
  const options = { cluster, service, address: here.address, ports, stateFolder, restoreCommand, log };
  const local = await leadServiceHere(options, stop);
  try {
    const told = { ...describe(cluster, service, here, local) };
    host.stdout.write(flags.output === "json" ? `${JSON.stringify(told, null, 2)}\n` : asText(told));
    await warnOfSilentPort(local, host);
    await local.hold(stop);
  } finally {
    log.info(restoredText(await restoreOr(local, restoreCommand), service));
  }
  return 0;
}

async function restoreOr(local: LocalIstiod, restoreCommand: string): Promise<Restored> {
  return local.restore().catch((error: unknown) => {
    const { code, message } = error instanceof AgentError ? error : new AgentError("INTERNAL", String(error));
    throw new AgentError(code, message, {
      hint: `What was there stays saved. Put it back: ${restoreCommand}`,
      cause: error,
    });
  });
}

function serviceNamed({ revision = "default", "istio-namespace": namespace }: Flags): ServicePlace {
  checkNamespace("--revision", revision);
  return { namespace, name: revision === "default" ? "istiod" : `istiod-${revision}` };
}

/** Throws USAGE. */
function readPorts(words: readonly string[]): ReadonlyMap<string, number> {
  return new Map(
    words.map((word) => {
      const [, name = XDS_PORT_NAME, port = ""] = /^(?:([^=]+)=)?(.*)$/.exec(word) ?? [];
      return [name, parseServicePort("--port", port)];
    }),
  );
}

/** The flags that say which Service it is, to be typed again. */
function sameWords(given: Words["given"]): string {
  const names = ["context", "kubeconfig", "istio-namespace", "revision"];
  return names.map((name) => (given.has(name) ? ` --${name} ${shellWord(String(given.get(name)))}` : "")).join("");
}

function describe({ context }: Cluster, service: ServicePlace, here: MachineAddress, { ports, saved }: LocalIstiod) {
  return { context, namespace: service.namespace, service: service.name, ...here, ports, saved };
}

function asText({ context, namespace, service, address, why, ports, saved }: ReturnType<typeof describe>): string {
  const list = Object.entries(ports).map(([name, port]) => `${name} ${port}`);
  return [
    `Service  ${namespace}/${service} in context "${context}" leads to ${address}, which ${why}`,
    `ports    ${list.join(", ")}`,
    `saved    ${saved}; Ctrl-C puts it back`,
    "",
  ].join("\n");
}

/** It may be started later. */
async function warnOfSilentPort({ ports }: LocalIstiod, host: Host): Promise<void> {
  const port = ports[XDS_PORT_NAME];
  if (port === undefined) return;
  const isFree = await tryTcp("0.0.0.0", port).then(
    () => true,
    () => false,
  );
  if (isFree) printWarnings(host, [`nothing listens on port ${port} of this machine yet`]);
}

function restoredText(restored: Restored, { namespace, name }: ServicePlace): string {
  const texts: Readonly<Record<Restored, string>> = {
    restored: "is as before",
    "selector kept": "has a selector that somebody has set in the meantime: it stays, all else is as before",
    nothing: "does not lead to a machine: nothing to put back",
    "service gone": "was deleted in the meantime: nothing to put back",
  };
  return `Service ${namespace}/${name} ${texts[restored]}`;
}
