import { type Capture, DNS_PORT, type Family, OUTBOUND_MARK, PASSTHROUGH } from "./capture.ts";

/** One rule of nftables; it is appended unless it has an index, which counts from 0. */
export interface NftRule {
  readonly table: NftTable;
  readonly chain: string;
  readonly words: string;
  readonly index?: number;
}

export type NftTable = "istio-proxy-nat" | "istio-proxy-mangle" | "istio-proxy-raw";

/** The rules of both families, in the order in which the reference makes them. Source: istio/istio tools/istio-nftables/pkg/capture. */
export function nftRules(capture: Capture): NftRule[] {
  return [
    ...passInterfaces(capture),
    ...dropInvalid(capture),
    ...targets(capture),
    ...(capture.isTproxy ? inboundByTproxy(capture) : inboundByRedirect(capture)),
    nat("output", "counter jump istio-output"),
    ...capture.excludedOutboundPorts.flatMap((port) =>
      ["tcp", "udp"].map((protocol) => nat("istio-output", `${protocol} dport ${port} counter return`)),
    ),
    ...perFamily(capture, (family) =>
      nat("istio-output", `oifname lo ${ip(family)} saddr ${PASSTHROUGH[family]} counter return`),
    ),
    ...ownersOf(capture).flatMap((owner) => callsOfProxy(capture, owner)),
    ...ownerGroups(capture),
    ...dns(capture),
    ...perFamily(capture, (family) =>
      nat("istio-output", `${ip(family)} daddr ${capture.loopback[family]} counter return`),
    ),
    ...perFamily(capture, (family) =>
      capture.excluded[family].map((range) => nat("istio-output", `${ip(family)} daddr ${range} counter return`)),
    ),
    ...capture.includedOutboundPorts.map((port) =>
      nat("istio-output", `tcp dport ${port} counter jump istio-redirect`),
    ),
    ...included(capture),
    ...(capture.isTproxy ? marks(capture) : []),
  ];
}

/** A user or group of the proxy, as a match of nftables. */
interface Owner {
  readonly key: "skuid" | "skgid";
  readonly id: string;
}

function ownersOf({ uids, gids }: Capture): Owner[] {
  return [...uids.map((id) => ({ key: "skuid", id }) as const), ...gids.map((id) => ({ key: "skgid", id }) as const)];
}

/** A rule and its twin. */
function perFamily({ families }: Capture, make: (family: Family) => NftRule | NftRule[]): NftRule[] {
  return families.flatMap(make);
}

function ip(family: Family): string {
  return family === "IPv4" ? "ip" : "ip6";
}

const TCP = "meta l4proto tcp";

function passInterfaces({ excludedInterfaces, virtualInterfaces, isTproxy }: Capture): NftRule[] {
  const tables = [nat, ...(isTproxy ? [mangle] : [])];
  return [
    ...tables.flatMap((add) =>
      excludedInterfaces.flatMap((name) => [
        add("prerouting", `iifname ${name} counter return`),
        add("output", `oifname ${name} counter return`),
      ]),
    ),
    ...virtualInterfaces.map((name) => nat("prerouting", `iifname ${name} counter return`, 0)),
  ];
}

function dropInvalid({ dropsInvalid }: Capture): NftRule[] {
  if (!dropsInvalid) return [];
  return [
    mangle("prerouting", `${TCP} ct state invalid counter jump istio-drop`),
    mangle("istio-drop", "counter drop"),
  ];
}

/** Where the other chains send traffic: past Envoy, or to one of its two ports. */
function targets({ ports }: Capture): NftRule[] {
  return [
    nat("istio-inbound", `${TCP} tcp dport ${ports.tunnel} counter return`),
    nat("istio-redirect", `${TCP} counter redirect to :${ports.outbound}`),
    nat("istio-in-redirect", `${TCP} counter redirect to :${ports.inbound}`),
  ];
}

function inboundByRedirect({ inboundPorts, excludedInboundPorts }: Capture): NftRule[] {
  if (inboundPorts === undefined) return [];
  const passed = inboundPorts === "*" ? excludedInboundPorts : [];
  const matches = inboundPorts === "*" ? [""] : inboundPorts.map((port) => `tcp dport ${port} `);
  return [
    nat("prerouting", `${TCP} counter jump istio-inbound`),
    ...passed.map((port) => nat("istio-inbound", `${TCP} tcp dport ${port} counter return`)),
    ...matches.map((match) => nat("istio-inbound", `${TCP} ${match}counter jump istio-in-redirect`)),
  ];
}

/** A packet of a known connection gets the mark that routes it to `lo`; a new one goes to Envoy's port. */
function inboundByTproxy(capture: Capture): NftRule[] {
  const { inboundPorts, excludedInboundPorts, tproxyMark, ports, loopback } = capture;
  if (inboundPorts === undefined) return [];
  const passed = inboundPorts === "*" ? excludedInboundPorts : [];
  const matches = inboundPorts === "*" ? [""] : inboundPorts.map((port) => `tcp dport ${port} `);
  return [
    mangle("istio-divert", `counter meta mark set ${tproxyMark}`),
    mangle("istio-divert", "counter accept"),
    ...perFamily(capture, (family) => {
      const target = `tproxy ${ip(family)} to :${ports.inbound} meta mark set ${tproxyMark} counter accept`;
      return mangle("istio-tproxy", `${TCP} ${ip(family)} daddr != ${loopback[family]} ${target}`);
    }),
    mangle("prerouting", `${TCP} counter jump istio-inbound`),
    ...passed.map((port) => mangle("istio-inbound", `${TCP} tcp dport ${port} counter return`)),
    ...matches.flatMap((match) => [
      mangle("istio-inbound", `${TCP} ct state related,established ${match}counter jump istio-divert`),
      mangle("istio-inbound", `${TCP} ${match}counter jump istio-tproxy`),
    ]),
  ];
}

/**
 * What the proxy calls goes out as it is, except calls of its own workload's address, which are inbound again. What others
 * call on `lo` is theirs, unless loopback addresses are to be captured.
 */
function callsOfProxy(capture: Capture, { key, id }: Owner): NftRule[] {
  const { dns, ports, loopback, includesLoopback } = capture;
  const isForDns = dns !== undefined && key === "skuid"; // the agent's own questions are not inbound
  const but = isForDns ? `{ 53, ${ports.tunnel} }` : ports.tunnel;
  const onLo = dns === undefined ? "oifname lo" : `oifname lo ${TCP} tcp dport != 53`;
  return [
    ...perFamily(capture, (family) => {
      const match = `oifname lo ${TCP} ${ip(family)} daddr != ${loopback[family]} tcp dport != ${but} ${key} ${id}`;
      return nat("istio-output", `${match} counter jump istio-in-redirect`);
    }),
    ...(includesLoopback ? [] : [nat("istio-output", `${onLo} ${key} != ${id} counter return`)]),
    nat("istio-output", `${key} ${id} counter return`),
  ];
}

function ownerGroups({ ownerGroups }: Capture): NftRule[] {
  if ("allBut" in ownerGroups) {
    return ownerGroups.allBut.map((group) => nat("istio-output", `skgid ${group} counter return`));
  }
  return [nat("istio-output", `${ownerGroups.only.map((group) => `skgid != ${group} `).join("")}counter return`)];
}

/** As `dns` of iptables: questions go to the agent, in two zones of the connection tracking. */
function dns(capture: Capture): NftRule[] {
  if (capture.dns === undefined) return [];
  const at = (side: "daddr" | "saddr"): string[] => serversOf(capture, side);
  const redirects = (protocol: string): NftRule[] =>
    at("daddr").map((to) => {
      const tcp = to === "" && protocol === "tcp" ? `${TCP} ` : "";
      return nat("istio-output-dns", `${tcp}${to}${protocol} dport 53 counter redirect to :${DNS_PORT}`);
    });
  const sources = at("saddr");
  return [
    raw("output", "counter jump istio-output-dns"),
    nat("istio-output", "counter jump istio-output-dns"),
    ...redirects("tcp"),
    ...redirects("udp"),
    ...ownersOf(capture).flatMap(({ key, id }) => [
      raw("istio-output-dns", `udp dport 53 meta ${key} ${id} counter ct zone set 1`),
      raw("istio-output-dns", `udp sport ${DNS_PORT} meta ${key} ${id} counter ct zone set 2`),
    ]),
    raw("prerouting", "counter jump istio-inbound"),
    ...at("daddr").flatMap((to, place) => [
      raw("istio-output-dns", `udp dport 53 ${to}counter ct zone set 2`),
      raw("istio-inbound", `udp sport 53 ${sources[place]}counter ct zone set 1`),
    ]),
  ];
}

/** A match for each server, such as `ip daddr 10.96.0.10/32 `; one that is empty for any server. */
function serversOf({ dns, families }: Capture, side: "daddr" | "saddr"): string[] {
  if (dns === undefined) return [];
  if (dns === "any server") return [""];
  return families.flatMap((family) =>
    dns[family].map((server) => `${ip(family)} ${side} ${server}/${family === "IPv4" ? 32 : 128} `),
  );
}

function included(capture: Capture): NftRule[] {
  const { included, virtualInterfaces } = capture;
  const rerouted = (match: string): NftRule[] =>
    virtualInterfaces.map((name) => nat("prerouting", `iifname ${name} ${match}counter jump istio-redirect`, 0));
  if (included === "*") return [nat("istio-output", "counter jump istio-redirect"), ...rerouted("")];
  return perFamily(capture, (family) =>
    included[family].flatMap((range) => {
      const match = `${ip(family)} daddr ${range} `;
      return [...rerouted(match), nat("istio-output", `${match}counter jump istio-redirect`)];
    }),
  );
}

/** TPROXY keeps source addresses, so that marks must tell Envoy's packets from the workload's own. */
function marks(capture: Capture): NftRule[] {
  const { tproxyMark, loopback } = capture;
  return [
    mangle("prerouting", `${TCP} mark ${tproxyMark} counter ct mark set mark`),
    mangle("output", `oifname lo ${TCP} mark ${tproxyMark} counter return`),
    ...ownersOf(capture).flatMap(({ key, id }) =>
      perFamily(capture, (family) => {
        const match = `oifname lo ${TCP} ${ip(family)} daddr != ${loopback[family]} ${key} ${id}`;
        return mangle("output", `${match} counter meta mark set ${OUTBOUND_MARK}`);
      }),
    ),
    mangle("output", `${TCP} ct mark ${tproxyMark} counter meta mark set ct mark`),
    mangle("istio-inbound", `${TCP} mark ${tproxyMark} counter return`, 0),
    ...perFamily(capture, (family) =>
      mangle("istio-inbound", `iifname lo ${TCP} ${ip(family)} saddr ${PASSTHROUGH[family]} counter return`, 1),
    ),
    mangle("istio-inbound", `iifname lo ${TCP} mark != ${OUTBOUND_MARK} counter return`, 2),
  ];
}

const nat = adder("istio-proxy-nat");
const mangle = adder("istio-proxy-mangle");
const raw = adder("istio-proxy-raw");

function adder(table: NftTable) {
  return (chain: string, words: string, index?: number): NftRule => ({
    table,
    chain,
    words,
    ...(index === undefined ? {} : { index }),
  });
}
