import { networkInterfaces } from "node:os";
import { resolve } from "node:path";
import { type Clock, describeError, isAbsent, type Logger, readTextFile, systemClock } from "../base/index.ts";
import { PATHS, parseDownwardApi } from "../istio/index.ts";
import {
  excludedInterfaces,
  type InterfaceAddress,
  ipModeOf,
  isUsableAddress,
  proxyAddresses,
  unmapped,
} from "./ip.ts";
import type { NodeFacts, Platform } from "./node-types.ts";

export interface FactSources {
  /** Relative paths start here. */
  readonly cwd: string;
  /** Already read by the configuration. */
  readonly podAnnotations: ReadonlyMap<string, string> | undefined;
  /** `INSTANCE_IP`. */
  readonly instanceIp: string;
  /** Asks for the cloud's own facts, over IPv6 where the proxy has such an address. */
  readonly platform: (isIpv6: boolean) => Promise<Platform>;
  readonly hasCredentialSocket: boolean;
  readonly hasExternalSds: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
}

const SCAN_PERIOD_MS = 100;
const SCAN_LIMIT_MS = 120_000;

/** Asks the machine: interfaces (waiting while one has no real address yet), the pod's label file, the platform. */
export async function gatherFacts(sources: FactSources, stop: AbortSignal): Promise<NodeFacts> {
  const { podAnnotations, hasCredentialSocket, hasExternalSds, instanceIp } = sources;
  const interfaceAddresses = await scanInterfaces(sources.clock ?? systemClock, stop);
  const excluded = excludedInterfaces(podAnnotations);
  for (const name of excluded.filter((one) => !Object.hasOwn(networkInterfaces(), one))) {
    sources.log.warn("Cannot exclude the addresses of an interface that is not there", { interface: name });
  }
  const addresses = proxyAddresses(instanceIp, interfaceAddresses, excluded);
  const [podLabels, platform] = await Promise.all([
    readLabels(resolve(sources.cwd, PATHS.podLabels), sources.log),
    sources.platform(ipModeOf(addresses) !== "IPv4"),
  ]);
  return { interfaceAddresses, podLabels, podAnnotations, platform, hasCredentialSocket, hasExternalSds };
}

/** Addresses of all interfaces that are up; an unspecified address means that the network is still being set up. */
async function scanInterfaces(clock: Clock, stop: AbortSignal): Promise<readonly InterfaceAddress[]> {
  const until = clock.now() + SCAN_LIMIT_MS;
  for (;;) {
    const all = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
      addresses
        .filter(({ internal }) => !internal)
        .map(({ address }) => ({ interface: name, address: unmapped(address) })),
    );
    const isReady = all.every(({ address }) => address !== "0.0.0.0" && address !== "::");
    if (isReady) return all.filter(({ address }) => isUsableAddress(address));
    if (clock.now() >= until) return [];
    await clock.sleep(SCAN_PERIOD_MS, stop);
  }
}

async function readLabels(path: string, log: Logger): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    const parsed = parseDownwardApi(await readTextFile(path));
    if (typeof parsed !== "string") return parsed;
    log.warn("Cannot use the pod's labels", { path, error: parsed });
  } catch (error) {
    if (isAbsent(error)) log.debug("There is no file with the pod's labels", { path });
    else log.warn("Cannot read the pod's labels", { path, error: describeError(error) });
  }
  return undefined;
}
