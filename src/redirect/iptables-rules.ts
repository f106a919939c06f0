import { type Capture, DNS_PORT, type Family, OUTBOUND_MARK, PASSTHROUGH } from "./capture.ts";

/** One rule of iptables; it is appended unless it has a position, which counts from 1. */
export interface Rule {
  readonly table: Table;
  readonly chain: string;
  readonly words: string;
  readonly position?: number;
}

export type Table = "filter" | "mangle" | "nat" | "raw";

/** The rules of one family, in the order in which the reference makes them. Source: istio/istio tools/istio-iptables/pkg/capture. */
export function iptablesRules(capture: Capture, family: Family): Rule[] {
  return [
    ...passInterfaces(capture),
    ...dropInvalid(capture),
    ...targets(capture),
    ...inbound(capture, family),
    nat("OUTPUT", "-j ISTIO_OUTPUT"),
    ...capture.excludedOutboundPorts.flatMap((port) =>
      ["tcp", "udp"].map((protocol) => nat("ISTIO_OUTPUT", `-p ${protocol} --dport ${port} -j RETURN`)),
    ),
    nat("ISTIO_OUTPUT", `-o lo -s ${PASSTHROUGH[family]} -j RETURN`),
    ...ownersOf(capture).flatMap((owner) => callsOfProxy(capture, family, owner)),
    ...ownerGroups(capture),
    ...dns(capture, family),
    nat("ISTIO_OUTPUT", `-d ${capture.loopback[family]} -j RETURN`),
    ...capture.excluded[family].map((range) => nat("ISTIO_OUTPUT", `-d ${range} -j RETURN`)),
    ...capture.includedOutboundPorts.map((port) => nat("ISTIO_OUTPUT", `-p tcp --dport ${port} -j ISTIO_REDIRECT`)),
    ...included(capture, family),
    ...(capture.isTproxy ? marks(capture, family) : []),
  ];
}

/** A user or group of the proxy, as a match of iptables. */
interface Owner {
  readonly flag: "--uid-owner" | "--gid-owner";
  readonly id: string;
}

function ownersOf({ uids, gids }: Capture): Owner[] {
  return [
    ...uids.map((id) => ({ flag: "--uid-owner", id }) as const),
    ...gids.map((id) => ({ flag: "--gid-owner", id }) as const),
  ];
}

function passInterfaces({ excludedInterfaces, virtualInterfaces, isTproxy }: Capture): Rule[] {
  const tables = [nat, ...(isTproxy ? [mangle] : [])];
  return [
    ...tables.flatMap((add) =>
      excludedInterfaces.flatMap((name) => [
        add("PREROUTING", `-i ${name} -j RETURN`),
        add("OUTPUT", `-o ${name} -j RETURN`),
      ]),
    ),
    ...virtualInterfaces.map((name) => nat("PREROUTING", `-i ${name} -j RETURN`, 1)),
  ];
}

function dropInvalid({ dropsInvalid }: Capture): Rule[] {
  if (!dropsInvalid) return [];
  return [mangle("PREROUTING", "-m conntrack --ctstate INVALID -j ISTIO_DROP"), mangle("ISTIO_DROP", "-j DROP")];
}

/** Where the other chains send traffic: past Envoy, or to one of its two ports. */
function targets({ ports }: Capture): Rule[] {
  return [
    nat("ISTIO_INBOUND", `-p tcp --dport ${ports.tunnel} -j RETURN`),
    nat("ISTIO_REDIRECT", `-p tcp -j REDIRECT --to-ports ${ports.outbound}`),
    nat("ISTIO_IN_REDIRECT", `-p tcp -j REDIRECT --to-ports ${ports.inbound}`),
  ];
}

function inbound(capture: Capture, family: Family): Rule[] {
  const { inboundPorts, excludedInboundPorts, isTproxy } = capture;
  if (inboundPorts === undefined) return [];
  const add = isTproxy ? mangle : nat;
  const capturing = (match: string): Rule[] =>
    isTproxy
      ? [
          mangle("ISTIO_INBOUND", `-p tcp${match} -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT`),
          mangle("ISTIO_INBOUND", `-p tcp${match} -j ISTIO_TPROXY`),
        ]
      : [nat("ISTIO_INBOUND", `-p tcp${match} -j ISTIO_IN_REDIRECT`)];
  return [
    ...(isTproxy ? tproxyTargets(capture, family) : []),
    add("PREROUTING", "-p tcp -j ISTIO_INBOUND"),
    ...(inboundPorts === "*"
      ? [
          ...excludedInboundPorts.map((port) => add("ISTIO_INBOUND", `-p tcp --dport ${port} -j RETURN`)),
          ...capturing(""),
        ]
      : inboundPorts.flatMap((port) => capturing(` --dport ${port}`))),
  ];
}

/** A packet of a known connection gets the mark that routes it to `lo`; a new one goes to Envoy's port. */
function tproxyTargets({ tproxyMark, ports, loopback }: Capture, family: Family): Rule[] {
  const target = `TPROXY --tproxy-mark ${tproxyMark}/0xffffffff --on-port ${ports.inbound}`;
  return [
    mangle("ISTIO_DIVERT", `-j MARK --set-mark ${tproxyMark}`),
    mangle("ISTIO_DIVERT", "-j ACCEPT"),
    mangle("ISTIO_TPROXY", `! -d ${loopback[family]} -p tcp -j ${target}`),
  ];
}

/**
 * What the proxy calls goes out as it is, except calls of its own workload's address, which are inbound again. What others
 * call on `lo` is theirs, unless loopback addresses are to be captured.
 */
function callsOfProxy(capture: Capture, family: Family, { flag, id }: Owner): Rule[] {
  const { dns, ports, loopback, includesLoopback } = capture;
  const isForDns = dns !== undefined && flag === "--uid-owner"; // the agent's own questions are not inbound
  const but = isForDns ? `-m multiport ! --dports 53,${ports.tunnel}` : `! --dport ${ports.tunnel}`;
  const onLo = dns === undefined ? "-o lo" : "-o lo -p tcp ! --dport 53";
  return [
    nat("ISTIO_OUTPUT", `-o lo ! -d ${loopback[family]} -p tcp ${but} -m owner ${flag} ${id} -j ISTIO_IN_REDIRECT`),
    ...(includesLoopback ? [] : [nat("ISTIO_OUTPUT", `${onLo} -m owner ! ${flag} ${id} -j RETURN`)]),
    nat("ISTIO_OUTPUT", `-m owner ${flag} ${id} -j RETURN`),
  ];
}

function ownerGroups({ ownerGroups }: Capture): Rule[] {
  if ("allBut" in ownerGroups) {
    return ownerGroups.allBut.map((group) => nat("ISTIO_OUTPUT", `-m owner --gid-owner ${group} -j RETURN`));
  }
  const noneOf = ownerGroups.only.map((group) => `-m owner ! --gid-owner ${group} `).join("");
  return [nat("ISTIO_OUTPUT", `${noneOf}-j RETURN`)];
}

/**
 * Questions of DNS go to the agent. Zone 1 of the connection tracking is for those between the agent and the resolvers,
 * zone 2 for those between the application and the agent: else both would be one connection.
 */
function dns(capture: Capture, family: Family): Rule[] {
  if (capture.dns === undefined) return [];
  const servers = capture.dns === "any server" ? [""] : capture.dns[family].map((one) => `${one}/${BITS[family]}`);
  const at = (flag: string, server: string): string => (server === "" ? "" : `${flag} ${server} `);
  const redirects = (protocol: string, target: string): Rule[] =>
    servers.map((server) => nat("ISTIO_OUTPUT_DNS", `-p ${protocol} --dport 53 ${at("-d", server)}-j ${target}`));
  return [
    raw("OUTPUT", "-j ISTIO_OUTPUT_DNS"),
    ...(servers.length === 0 ? [] : [nat("ISTIO_OUTPUT", "-j ISTIO_OUTPUT_DNS")]),
    ...redirects("tcp", `REDIRECT --to-ports ${DNS_PORT}`),
    ...redirects("udp", `REDIRECT --to-port ${DNS_PORT}`),
    ...ownersOf(capture).flatMap(({ flag, id }) => [
      raw("ISTIO_OUTPUT_DNS", `-p udp --dport 53 -m owner ${flag} ${id} -j CT --zone 1`),
      raw("ISTIO_OUTPUT_DNS", `-p udp --sport ${DNS_PORT} -m owner ${flag} ${id} -j CT --zone 2`),
    ]),
    ...(servers.length === 0 ? [] : [raw("PREROUTING", "-j ISTIO_INBOUND")]),
    ...servers.flatMap((server) => [
      raw("ISTIO_OUTPUT_DNS", `-p udp --dport 53 ${at("-d", server)}-j CT --zone 2`),
      raw("ISTIO_INBOUND", `-p udp --sport 53 ${at("-s", server)}-j CT --zone 1`),
    ]),
  ];
}

const BITS: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };

function included({ included, virtualInterfaces }: Capture, family: Family): Rule[] {
  const rerouted = (match: string): Rule[] =>
    virtualInterfaces.map((name) => nat("PREROUTING", `-i ${name} ${match}-j ISTIO_REDIRECT`, 1));
  if (included === "*") return [nat("ISTIO_OUTPUT", "-j ISTIO_REDIRECT"), ...rerouted("")];
  return included[family].flatMap((range) => [
    ...rerouted(`-d ${range} `),
    nat("ISTIO_OUTPUT", `-d ${range} -j ISTIO_REDIRECT`),
  ]);
}

/** TPROXY keeps source addresses, so that marks must tell Envoy's packets from the workload's own. */
function marks(capture: Capture, family: Family): Rule[] {
  const { tproxyMark, loopback } = capture;
  return [
    mangle("PREROUTING", `-p tcp -m mark --mark ${tproxyMark} -j CONNMARK --save-mark`),
    mangle("OUTPUT", `-p tcp -o lo -m mark --mark ${tproxyMark} -j RETURN`),
    ...ownersOf(capture).map(({ flag, id }) =>
      mangle(
        "OUTPUT",
        `! -d ${loopback[family]} -p tcp -o lo -m owner ${flag} ${id} -j MARK --set-mark ${OUTBOUND_MARK}`,
      ),
    ),
    mangle("OUTPUT", `-p tcp -m connmark --mark ${tproxyMark} -j CONNMARK --restore-mark`),
    mangle("ISTIO_INBOUND", `-p tcp -m mark --mark ${tproxyMark} -j RETURN`, 1),
    mangle("ISTIO_INBOUND", `-p tcp -s ${PASSTHROUGH[family]} -i lo -j RETURN`, 2),
    mangle("ISTIO_INBOUND", `-p tcp -i lo -m mark ! --mark ${OUTBOUND_MARK} -j RETURN`, 3),
  ];
}

const nat = adder("nat");
const mangle = adder("mangle");
const raw = adder("raw");

function adder(table: Table) {
  return (chain: string, words: string, position?: number): Rule => ({
    table,
    chain,
    words,
    ...(position === undefined ? {} : { position }),
  });
}
