import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { AgentError, describeError, isAbsent, readTextFile, readUpstreams } from "../base/index.ts";
import type { Family, Machine, RedirectSettings } from "./capture.ts";
import { canonicalIpv6, isLoopbackAddress } from "./prefix.ts";

/** Where the machine's facts are read; a test names other files. */
export interface MachineFiles {
  readonly resolvConf: string;
  readonly passwd: string;
  readonly services: string;
}

export const MACHINE_FILES: MachineFiles = {
  resolvConf: "/etc/resolv.conf",
  passwd: "/etc/passwd",
  services: "/etc/services",
};

/**
 * Asks for the addresses of this network namespace and, where DNS is captured by server, for the servers of resolv.conf.
 * Rejects with REDIRECT_NOT_POSSIBLE without a usable address, and FILE_UNREADABLE.
 */
export async function askMachine(settings: RedirectSettings, { resolvConf }: MachineFiles): Promise<Machine> {
  const { hostFamily, hasIpv6 } = familiesOf(ownAddresses(), settings.dualStack);
  const isByServer = settings.redirectDns && !settings.captureAllDns;
  return { hostFamily, hasIpv6, dnsServers: isByServer ? await readServers(resolvConf) : { IPv4: [], IPv6: [] } };
}

/** The kernel lists IPv4 addresses before IPv6 addresses, whatever the interfaces are. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address));
  return all.toSorted((one, other) => isIP(one) - isIP(other));
}

/** The first usable address decides; with dual stack, any of IPv6. Source: istio/istio tools/common/config getLocalIP. */
function familiesOf(addresses: readonly string[], isDualStack: boolean): Pick<Machine, "hostFamily" | "hasIpv6"> {
  const [first, ...more] = addresses.filter((address) => !isLocal(address)).map(familyOf);
  if (first === undefined) {
    throw new AgentError("REDIRECT_NOT_POSSIBLE", "Cannot tell the IP family: no valid local IP address found", {
      hint: "Only loopback and link-local addresses are here; give an interface an address first.",
    });
  }
  return { hostFamily: first, hasIpv6: first === "IPv6" || (isDualStack && more.includes("IPv6")) };
}

function familyOf(address: string): Family {
  return isIP(address) === 4 || address.startsWith("::ffff:") ? "IPv4" : "IPv6";
}

/** Loopback and link-local; 169.254.0.0/16 and fe80::/10 are RFC 3927 and RFC 4291. */
function isLocal(address: string): boolean {
  return isLoopbackAddress(address) || /^(?:169\.254\.|fe[89ab][0-9a-f]:)/i.test(address);
}

async function readServers(resolvConf: string): Promise<Machine["dnsServers"]> {
  const text = await readTextFile(resolvConf).catch((error: unknown) => {
    throw new AgentError("FILE_UNREADABLE", `failed to load ${resolvConf}: ${describeError(error)}`, {
      cause: error,
      hint: "DNS capture needs its servers; --capture-all-dns does not.",
    });
  });
  const servers = readUpstreams(text).servers.map((server) => server.replace(/%.*/, "")); // rules know no zones
  return {
    IPv4: servers.filter((server) => isIP(server) === 4),
    IPv6: servers.filter((server) => isIP(server) === 6).map(canonicalIpv6),
  };
}

const USUAL_UID = "1337";

/** The user that Envoy runs as; 1337 where no user has the name. */
export async function uidOf(userName: string, { passwd }: MachineFiles): Promise<string> {
  const lines = (await readOptional(passwd)).split("\n").map((line) => line.split(":"));
  return lines.find(([name]) => userName !== "" && name === userName)?.[2] ?? USUAL_UID;
}

/** The names that may stand for a port. */
export async function servicesOf({ services }: MachineFiles): Promise<ReadonlySet<string>> {
  const lines = (await readOptional(services)).split("\n").map((line) => line.replace(/#.*/, "").trim().split(/\s+/));
  return new Set(lines.flatMap(([name = "", , ...aliases]) => [name, ...aliases]).filter((name) => name !== ""));
}

async function readOptional(path: string): Promise<string> {
  return await readTextFile(path).catch((error: unknown) => {
    if (isAbsent(error)) return "";
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  });
}
