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

/** Reads a file below /proc/net of the network namespace that counts; undefined where there is none. */
export type ReadNet = (name: string) => Promise<string | undefined>;

/**
 * Asks for the addresses of the network namespace and, where DNS is captured by server, for the servers of resolv.conf.
 * Rejects with REDIRECT_NOT_POSSIBLE without a usable address, and FILE_UNREADABLE.
 */
export async function askMachine(settings: RedirectSettings, resolvConf: string, readNet: ReadNet): Promise<Machine> {
  const { hostFamily, hasIpv6 } = familiesOf(await ownAddresses(readNet), settings.dualStack);
  const isByServer = settings.redirectDns && !settings.captureAllDns;
  return { hostFamily, hasIpv6, dnsServers: isByServer ? await readServers(resolvConf) : { IPv4: [], IPv6: [] } };
}

/**
 * IPv4 before IPv6, as the kernel lists them. Node has those of interfaces with a carrier alone, and in a namespace that was
 * just made a carrier takes a moment: where /proc says more, that counts.
 */
async function ownAddresses(readNet: ReadNet): Promise<string[]> {
  const [trie, six] = await Promise.all([readNet("fib_trie"), readNet("if_inet6")]);
  if (trie === undefined && six === undefined) {
    const all = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address));
    return all.toSorted((one, other) => isIP(one) - isIP(other));
  }
  const four = [...(trie ?? "").matchAll(/\|-- (\S+)\n\s+\/32 host LOCAL/g)].map(([, address = ""]) => address);
  const hex = [...(six ?? "").matchAll(/^[0-9a-f]{32}/gm)].map(([digits]) => digits.replace(/.{4}(?!$)/g, "$&:"));
  return [...new Set([...four, ...hex.map(canonicalIpv6)])];
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
