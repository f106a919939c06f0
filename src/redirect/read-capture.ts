import { AgentError } from "../base/index.ts";
import type { Capture, DnsCapture, Family, Machine, RedirectSettings } from "./capture.ts";
import { parsePrefix } from "./prefix.ts";

/** What the names of a machine mean to iptables. */
export interface Names {
  /** Where a setting comes from, for a message: a flag or a variable. */
  origin(setting: keyof RedirectSettings): string;
  /** Services that may stand for a port: /etc/services. */
  readonly services: ReadonlySet<string>;
}

/** Checks the settings and sorts them. Throws CONFIG_INVALID with every problem in a line of its own. */
export function readCapture(settings: RedirectSettings, machine: Machine, names: Names): Capture {
  const problems = new Problems(names);
  const checks = new Checks(settings, problems, names.services);
  const capture = {
    ...portsOf(checks, settings),
    ...rangesOf(checks, settings),
    ...ownersOf(checks, settings),
    excludedInterfaces: checks.interfaces("excludeInterfaces"),
    virtualInterfaces: checks.interfaces("rerouteVirtualInterfaces"),
  };
  checkTheRest(settings, problems);
  problems.throwIfAny();
  return {
    ...capture,
    isTproxy: settings.inboundInterceptionMode === "TPROXY",
    tproxyMark: settings.inboundTproxyMark,
    dropsInvalid: settings.dropInvalid,
    dns: dnsOf(settings, machine),
    families: machine.hasIpv6 ? ["IPv4", "IPv6"] : ["IPv4"],
  };
}

/** DNS is to be captured, and there is no server to capture it for. */
export function lacksDnsServers({ redirectDns, captureAllDns }: RedirectSettings, { dnsServers }: Machine): boolean {
  return redirectDns && !captureAllDns && dnsServers.IPv4.length + dnsServers.IPv6.length === 0;
}

function dnsOf(settings: RedirectSettings, machine: Machine): DnsCapture | undefined {
  if (!settings.redirectDns || lacksDnsServers(settings, machine)) return undefined;
  return settings.captureAllDns ? "any server" : machine.dnsServers;
}

/** The items of a comma list; empty ones do not count. Source: istio/istio tools/common/config Split. */
function itemsOf(list: string): string[] {
  return list.split(",").filter((item) => item !== "");
}

type TextSetting = {
  [S in keyof RedirectSettings]: RedirectSettings[S] extends string ? S : never;
}[keyof RedirectSettings];

class Problems {
  readonly #names: Names;
  readonly #lines: string[] = [];

  constructor(names: Names) {
    this.#names = names;
  }

  add(setting: keyof RedirectSettings, value: string, wanted: string): void {
    this.#lines.push(`${this.#names.origin(setting)} ${JSON.stringify(value)}: ${wanted}`);
  }

  throwIfAny(): void {
    if (this.#lines.length === 0) return;
    const list = this.#lines.map((line) => `\n  ${line}`).join("");
    throw new AgentError("CONFIG_INVALID", `Cannot make rules of these settings:${list}`);
  }
}

/** Reads texts and lists, each item checked. The items stay as they are: blanks around them do not matter to iptables. */
class Checks {
  readonly #settings: RedirectSettings;
  readonly #problems: Problems;
  readonly #services: ReadonlySet<string>;

  constructor(settings: RedirectSettings, problems: Problems, services: ReadonlySet<string>) {
    this.#settings = settings;
    this.#problems = problems;
    this.#services = services;
  }

  /** A port of Envoy. */
  port(setting: TextSetting): string {
    const value = this.#settings[setting];
    if (!isNumber(value.trim(), 1, 65_535)) this.#problems.add(setting, value, "wanted a port from 1 to 65535");
    return value;
  }

  /** Ports, ranges of them, and names of services. */
  ports(setting: TextSetting): string[] {
    const items = this.#items(
      setting,
      "wanted a port, a range such as 8080:8090, or a service of /etc/services",
      (item) => {
        const ends = item.split(this.#settings.nativeNftables ? /[-:]/ : ":");
        const areNumbers = ends.length <= 2 && ends.every((end) => isNumber(end, 0, 65_535));
        return areNumbers || this.#services.has(item);
      },
    );
    return this.#settings.nativeNftables ? items.map((item) => item.replace(":", "-")) : items;
  }

  /** Names; with `+` in the end those that begin so, which nft writes `*`. */
  interfaces(setting: TextSetting): string[] {
    const items = this.#items(
      setting,
      "wanted the name of an interface, of 15 characters at most",
      (item) => item.length <= 15 && !/[\s/!"'{};#]/.test(item),
    );
    return this.#settings.nativeNftables ? items.map((item) => item.replace(/\+(?=\s*$)/, "*")) : items;
  }

  /** Users or groups: names, numbers, ranges of numbers. */
  owners(setting: TextSetting): string[] {
    return this.#items(setting, "wanted names or numbers of users or groups", (item) => /^[\w.@+$-]+$/.test(item));
  }

  /** By family; for both `*` where that may stand. */
  ranges(setting: TextSetting) {
    const wanted = "wanted addresses in CIDR form, such as 10.0.0.0/8";
    const items = this.#items(setting, wanted, (item) => parsePrefix(item) !== undefined, asItIs);
    const read = items.flatMap((item) => parsePrefix(item) ?? []);
    const of = (family: Family): string[] => read.filter((one) => one.family === family).map(({ text }) => text);
    return { IPv4: of("IPv4"), IPv6: of("IPv6"), hasLoopback: read.some(({ isLoopback }) => isLoopback) };
  }

  #items(setting: TextSetting, wanted: string, isGood: (item: string) => boolean, trimmed = withoutBlanks): string[] {
    const items = itemsOf(this.#settings[setting]);
    for (const item of items) {
      if (/[\r\n\0]/.test(item) || !isGood(trimmed(item))) this.#problems.add(setting, item, wanted);
    }
    return items;
  }
}

const withoutBlanks = (item: string): string => item.trim();
const asItIs = (item: string): string => item;

function portsOf(checks: Checks, { inboundPortsInclude: include }: RedirectSettings) {
  return {
    ports: {
      outbound: checks.port("proxyPort"),
      inbound: checks.port("inboundCapturePort"),
      tunnel: checks.port("inboundTunnelPort"),
    },
    inboundPorts: include === "" ? undefined : include === "*" ? ("*" as const) : checks.ports("inboundPortsInclude"),
    excludedInboundPorts: include === "*" ? checks.ports("inboundPortsExclude") : [],
    includedOutboundPorts: checks.ports("outboundPortsInclude"),
    excludedOutboundPorts: checks.ports("outboundPortsExclude"),
  };
}

function rangesOf(checks: Checks, settings: RedirectSettings) {
  const isAll = settings.outboundIpRangesInclude === "*";
  const included = isAll ? undefined : checks.ranges("outboundIpRangesInclude");
  return {
    included: included ?? ("*" as const),
    includesLoopback: included?.hasLoopback ?? false,
    excluded: checks.ranges("outboundIpRangesExclude"),
    loopback: { IPv4: settings.hostIpv4LoopbackCidr, IPv6: "::1/128" },
  };
}

function ownersOf(checks: Checks, settings: RedirectSettings): Pick<Capture, "uids" | "gids" | "ownerGroups"> {
  return {
    uids: checks.owners("proxyUid"),
    gids: checks.owners("proxyGid"),
    ownerGroups:
      settings.ownerGroupsInclude === "*"
        ? { allBut: checks.owners("ownerGroupsExclude") }
        : { only: checks.owners("ownerGroupsInclude") },
  };
}

/** All included groups become one rule of iptables, whose length is limited. */
const MOST_GROUPS = 64;

function checkTheRest(settings: RedirectSettings, problems: Problems): void {
  const { ownerGroupsInclude, forceIptablesBinary, hostIpv4LoopbackCidr } = settings;
  const groups = ownerGroupsInclude === "*" ? [] : itemsOf(ownerGroupsInclude);
  if (groups.length > MOST_GROUPS) {
    const text = "number of owner groups whose outgoing traffic should be redirected to Envoy cannot exceed";
    problems.add("ownerGroupsInclude", ownerGroupsInclude, `${text} ${MOST_GROUPS}, got ${groups.length}`);
  }
  if (!["", "legacy", "nft"].includes(forceIptablesBinary)) {
    problems.add("forceIptablesBinary", forceIptablesBinary, "wanted legacy or nft");
  }
  const loopback = parsePrefix(hostIpv4LoopbackCidr);
  if (loopback?.family !== "IPv4" || !loopback.isLoopback || loopback.bits < 8) {
    const wanted = "wanted an IPv4 loopback range with a prefix from 8 to 32, such as 127.0.0.1/32";
    problems.add("hostIpv4LoopbackCidr", hostIpv4LoopbackCidr, wanted);
  }
  if (settings.inboundInterceptionMode !== "TPROXY") return;
  for (const setting of ["inboundTproxyMark", "inboundTproxyRouteTable"] as const) {
    if (!isNumber(settings[setting], 1, 2 ** 32 - 1))
      problems.add(setting, settings[setting], "wanted a positive number");
  }
}

function isNumber(text: string, least: number, most: number): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) >= least && Number(text) <= most;
}
