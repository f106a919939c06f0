import { Chance } from "../../support/chance.ts";
import type { Chances } from "../subject.ts";
import { type IptablesInput, SIDECAR } from "./input.ts";

const BOTH = ["10.3.3.3/24", "2001:db8::5/64"];
const SIX = ["2001:db8::5/64"];
const DUAL = ["--dual-stack"];

/** What was thought of, then what one number repeats. */
export function iptablesInputs({ seed, count }: Chances): IptablesInput[] {
  const byChance = Array.from({ length: count }, (_, at) => {
    const chance = new Chance(seed * 100_003 + at);
    return { name: `by chance, ${at + 1} of seed ${seed}`, ...make(chance) };
  });
  return [...DRY.map(dry), ...REAL, ...byChance];
}

type Thought = readonly [args: readonly string[], more?: Omit<IptablesInput, "name" | "calls">];

function dry([args, more = {}]: Thought): IptablesInput {
  const { env = {}, addresses = [], servers, users = {} } = more;
  const words = [
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ...args,
    ...addresses,
    ...(servers === undefined ? [] : [`servers ${servers.join(" ")}`]),
    ...Object.keys(users),
  ];
  return { name: `dry: ${words.join(" ")}`, calls: [["-n", ...args]], ...more };
}

const V6_SERVERS = ["10.96.0.10", "2001:db8::53", "::127.0.0.53"];

const DRY: readonly Thought[] = [
  [[]],
  [SIDECAR],
  [SIDECAR, { addresses: BOTH }],
  [[...SIDECAR, ...DUAL], { addresses: BOTH }],
  [SIDECAR, { addresses: SIX }],
  [[...SIDECAR, ...DUAL], { addresses: SIX }],
  [["-b", "*"]],
  [["-b", "32000,31000"]],
  [["-b", "32000,31000", "-m", "TPROXY"]],
  [["-b", "*", "-m", "TPROXY"]],
  [["-b", "", "-m", "TPROXY"]],
  [["-b", "80", "-d", "15090"]],
  [["-b", ",80,,81,"]],
  [["-b", "*", "-m", "tproxy"]],
  [["-b", "*", "-m", "NONE"]],
  [
    ["-m", "TPROXY", "-b", "*", "-x", "1.1.0.0/16", "-i", "9.9.0.0/16", "--redirect-dns", "-c", "not-istio-nic"],
    { addresses: SIX },
  ],
  [["-x", "1.1.0.0/16", "-i", "9.9.0.0/16", "-g", "1,2", "-u", "3,4", "--redirect-dns"]],
  [["-i", "127.1.2.3/32", "-g", "1,2", "-u", "3,4", "--redirect-dns"]],
  [["-g", "1,2", "-u", "3,4", "--redirect-dns", ...DUAL], { addresses: BOTH, servers: V6_SERVERS }],
  [["--redirect-dns", ...DUAL], { addresses: BOTH, servers: ["2001:db8::53"] }],
  [["--redirect-dns"], { servers: [] }],
  [["--redirect-dns"], { servers: ["fe80::1%eth0"], addresses: SIX }],
  [["--redirect-dns"], { servers: ["1.2.3.4", "not-an-address", "::ffff:1.2.3.4"], addresses: SIX }],
  [["--redirect-dns", "--capture-all-dns", "-i", "*", ...DUAL], { addresses: BOTH }],
  [["--capture-all-dns", "-i", "*"]],
  [["-b", "4000,5000", "-k", "eth0,eth1"], { addresses: SIX }],
  [["-b", "4000,5000", "-k", "eth0,eth1", "-x", "2001:db8::/32", "-i", "2001:db8::/32"], { addresses: SIX }],
  [["-i", "10.0.0.0/8"]],
  [["-i", "10.1.2.3/8,2001:DB8:0:0::1/64,::ffff:10.0.0.1/120"], { addresses: SIX }],
  [["-i", "::1/128,10.0.0.0/8"]],
  [["-k", "eth1,eth2", "-i", "*"]],
  [["-k", "eth1,eth2", "-i", "10.0.0.0/8,11.0.0.0/8"]],
  [["-q", "32000,31000"]],
  [["-o", "53,443"]],
  [["-c", "eth0,eth1"]],
  [["-c", "eth0,eth1", "-m", "TPROXY"]],
  [["--drop-invalid"]],
  [["--drop-invalid", "-m", "TPROXY", "-b", "*"]],
  [["-e", "16008", "-p", "16001", "-z", "16006", "--redirect-dns"]],
  [["-t", "99", "-r", "5", "-m", "TPROXY", "-b", "*"]],
  [["-u", ""]],
  [["-u", ""], { users: { "istio-proxy": 4321 } }],
  [["-u", ","]],
  [["-u", "1337,1338", "-g", ""]],
  [["-g", "5"], { env: { ENVOY_USER: "proxy" }, users: { proxy: 77, "istio-proxy": 4321 } }],
  [[...SIDECAR, "--cleanup-only"]],
  [[...SIDECAR, "--cleanup-only", ...DUAL, "--redirect-dns", "-m", "TPROXY"], { addresses: BOTH }],
  [[...SIDECAR, "--reconcile", "--force-apply"]],
  [[...SIDECAR, "--skip-rule-apply"]],
  [[...SIDECAR, "--network-namespace", "/var/run/netns/none", "--cni-mode"]],
  [["--force-iptables-binary", "nft"]],
  [["--force-iptables-binary", "old"]],
  [["-x", "*"]],
  [["-i", "10.0.0.0"]],
  [["-i", "10.0.0.0/8,*"]],
  [["-i", "10.0.0.0/33"]],
  [["-i", "10.0.0.0/08"]],
  [["-i", " 10.0.0.0/8"]],
  [["-b", "80, 443"]],
  [["-b", "http,8080:8090"]],
  [["-b", "80,x"]],
  [["-p", ""]],
  [SIDECAR, { addresses: ["169.254.3.3/16", "fe80::5/64"] }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_OWNER_GROUPS: "java,202" } }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_OWNER_GROUPS: "", ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "7" } }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "888,ftp" } }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_OWNER_GROUPS: numbers(64) } }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_OWNER_GROUPS: numbers(65) } }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: numbers(65) } }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "127.0.0.1/8" } }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "127.0.0.1/7" } }],
  [SIDECAR, { env: { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "10.0.0.0/8" } }],
  [[], { env: { ENVOY_PORT: "1", INBOUND_CAPTURE_PORT: "16006", PROXY_UID: "9", ISTIO_SERVICE_CIDR: "*" } }],
  [["-i", ""], { env: { ISTIO_SERVICE_CIDR: "*", ISTIO_INBOUND_PORTS: "*", ISTIO_LOCAL_EXCLUDE_PORTS: "1,2" } }],
  [[], { env: { REDIRECT_DNS: "true", ISTIO_META_DNS_CAPTURE: "false" } }],
  [["--redirect-dns"], { env: { REDIRECT_DNS: "true", ISTIO_META_DNS_CAPTURE: "false" } }],
  [["--redirect-dns=false"], { env: { ISTIO_META_DNS_CAPTURE: "true" } }],
  [[], { env: { DROP_INVALID: "0", INVALID_DROP: "T" } }],
  [[], { env: { ISTIO_DUAL_STACK: "true" }, addresses: BOTH }],
  [[], { env: { REDIRECT_DNS: "maybe", PROBE_TIMEOUT: "soon", IPTABLES_PROBE_PORT: "70000" } }],
  [["--iptables-probe-port", "70000"]],
  [["--probe-timeout", "soon"]],
  [["--unknown"]],
  [["surplus", "-i", "*"]],
  [["--skip-rule-apply", "--run-validation", "--probe-timeout", "200ms"]],
  [[...SIDECAR, "--log_as_json"]],
  [[...SIDECAR, "--log_output_level=default:warn"]],
];

function numbers(most: number): string {
  return Array.from({ length: most }, (_, at) => at + 1).join(",");
}

const OTHER = [...SIDECAR, "-o", "8443"];
const NFT = ["--native-nftables"];
const TPROXY = ["-m", "TPROXY", "-i", "*", "-b", "*", "-u", "1337"];

/** Which variant is chosen changes with what was there before: those of `real` are all for the one on nftables. */
const ON_NFT = ["--force-iptables-binary", "nft"];

/** One call after another on a kernel. */
const REAL: readonly IptablesInput[] = [
  real("apply", [SIDECAR]),
  real("apply in both families", [[...SIDECAR, ...DUAL]], { addresses: BOTH }),
  real("apply for DNS", [[...SIDECAR, "--redirect-dns"]]),
  real("apply for any DNS in both families", [[...SIDECAR, ...DUAL, "--redirect-dns", "--capture-all-dns"]], {
    addresses: BOTH,
  }),
  real("apply TPROXY", [[...TPROXY, ...DUAL, "--drop-invalid"]], { addresses: BOTH }),
  real("apply with much", [
    [
      "-i",
      "10.0.0.0/8,172.16.0.0/12",
      "-x",
      "10.1.0.0/16",
      "-b",
      "80,443",
      "-k",
      "tap0",
      "-c",
      "eth9",
      "-o",
      "22",
      "-q",
      "9",
    ],
  ]),
  real("apply twice", [SIDECAR, SIDECAR]),
  real("apply twice by any variant", [SIDECAR, SIDECAR].map(anyVariant)),
  real("apply and clean up by any variant", [SIDECAR, [...SIDECAR, "--cleanup-only"]].map(anyVariant)),
  real("apply others", [SIDECAR, OTHER]),
  real("apply others, reconciled", [SIDECAR, [...OTHER, "--reconcile"]]),
  real(
    "apply others in both families, reconciled",
    [
      [...SIDECAR, ...DUAL],
      [...OTHER, ...DUAL, "--reconcile"],
    ],
    {
      addresses: BOTH,
    },
  ),
  real("apply twice by force", [SIDECAR, [...SIDECAR, "--force-apply"]]),
  real("apply and clean up", [SIDECAR, [...SIDECAR, "--cleanup-only"]]),
  real("apply and clean up twice", [SIDECAR, [...SIDECAR, "--cleanup-only"], [...SIDECAR, "--cleanup-only"]]),
  real("apply and clean up with other flags", [[...SIDECAR, "--redirect-dns"], ["--cleanup-only"]]),
  real("apply TPROXY and clean up", [TPROXY, [...TPROXY, "--cleanup-only"]]),
  real("apply TPROXY twice", [TPROXY, TPROXY]),
  real("apply by legacy", [[...SIDECAR, "--force-iptables-binary", "legacy"], SIDECAR]),
  real("apply what iptables refuses", [[...SIDECAR, "-u", "nobody-of-this-name"]]),
  real("nft: apply", [[...SIDECAR, ...NFT]]),
  real("nft: apply in both families", [[...SIDECAR, ...NFT, ...DUAL, "--redirect-dns"]], {
    addresses: BOTH,
    servers: V6_SERVERS,
  }),
  real("nft: apply for any DNS", [[...SIDECAR, ...NFT, "--redirect-dns", "--capture-all-dns"]]),
  real("nft: apply TPROXY", [[...TPROXY, ...NFT, ...DUAL, "--drop-invalid"]], { addresses: BOTH }),
  real("nft: apply with much", [
    [
      ...NFT,
      "-i",
      "10.0.0.0/8",
      "-x",
      "10.1.0.0/16",
      "-b",
      "80,443",
      "-k",
      "tap0,tap1",
      "-c",
      "eth9",
      "-o",
      "22",
      "-q",
      "9",
    ],
  ]),
  real("nft: apply for a server of the other family", [[...SIDECAR, ...NFT, "--redirect-dns"]], {
    servers: ["2001:db8::53"],
  }),
  real("nft: apply twice", [
    [...SIDECAR, ...NFT],
    [...OTHER, ...NFT],
  ]),
  real("nft: apply and clean up", [
    [...SIDECAR, ...NFT],
    [...SIDECAR, ...NFT, "--cleanup-only"],
  ]),
  real("nft: a dry run", [[...SIDECAR, ...NFT, "-n"]]),
];

function anyVariant(args: readonly string[]): string[] {
  return [...args, "--force-iptables-binary", ""];
}

function real(
  name: string,
  calls: readonly (readonly string[])[],
  more: Omit<IptablesInput, "name" | "calls"> = {},
): IptablesInput {
  return { name, calls: calls.map((args) => [...ON_NFT, ...args]), isReal: true, ...more };
}

/** Many settings at once, most of them right; some as variables. Every fifth is for nft, on a kernel. */
function make(chance: Chance): Omit<IptablesInput, "name"> {
  const isNft = chance.below(5) === 0;
  const addresses = chance.one([["10.3.3.3/24"], BOTH, BOTH, SIX, ["10.3.3.3/24", "192.0.2.7/24", "fd00::9/64"]]);
  const servers = chance.one([undefined, undefined, V6_SERVERS, ["1.1.1.1", "8.8.8.8"], ["2001:db8::53"], []]);
  const args: string[] = [];
  const env: Record<string, string> = {};
  for (const [flag, variable, value] of [...texts(chance, isNft), ...switches(chance)]) {
    const isVariable = chance.below(4) === 0 && variable !== "";
    if (isVariable) env[variable] = value;
    else args.push(value === "true" && flag.startsWith("--") ? `${flag}` : flag, ...(value === "true" ? [] : [value]));
  }
  for (const [name, value] of variablesOnly(chance, isNft)) env[name] = value;
  const call = [...args, ...(isNft ? NFT : ["-n"])];
  return {
    calls: [call],
    env,
    addresses,
    ...(servers === undefined ? {} : { servers }),
    ...(isNft ? { isReal: true } : {}),
  };
}

type Given = readonly [flag: string, variable: string, value: string];

function texts(chance: Chance, isNft: boolean): Given[] {
  const port = (): string => String(1 + chance.below(65_535));
  const list = (make: () => string): string => [make(), ...chance.some(3, make)].join(",");
  const v4 = (): string => `${chance.below(224)}.${chance.below(256)}.${chance.below(256)}.0/${8 + chance.below(25)}`;
  const v6 = (): string => `2001:db8:${chance.below(9_999)}::/${32 + chance.below(97)}`;
  const range = (): string => chance.one([v4, v4, v6, () => "127.0.0.0/8"])();
  const network = (): string => {
    const [address = "", bits = ""] = range().split("/");
    return isNft ? `${address}/${address.includes(":") ? 128 : 32}` : `${address}/${bits}`;
  };
  const ranges = (): string => distinct(list(network));
  const nic = (): string => chance.one(["eth0", "eth1", "tap0", "cilium_host", "not-istio-nic"]);
  const id = (): string => String(chance.below(3_000));
  const all: readonly (() => Given)[] = [
    () => ["-p", "", port()],
    () => ["-z", "INBOUND_CAPTURE_PORT", port()],
    () => ["-e", "INBOUND_TUNNEL_PORT", port()],
    () => ["-u", "PROXY_UID", list(id)],
    () => ["-g", "PROXY_GID", list(id)],
    () => ["-m", "ISTIO_INBOUND_INTERCEPTION_MODE", chance.one(["REDIRECT", "TPROXY", "TPROXY", "NONE"])],
    () => ["-b", "ISTIO_INBOUND_PORTS", chance.one(["*", "*", list(port), ""])],
    () => ["-d", "ISTIO_LOCAL_EXCLUDE_PORTS", chance.one(["15090,15021,15020", list(port), ""])],
    () => ["-i", "ISTIO_SERVICE_CIDR", chance.one(["*", "*", ranges(), ""])],
    () => ["-x", "ISTIO_SERVICE_EXCLUDE_CIDR", chance.one([ranges(), ranges(), "", "*"])],
    () => ["-q", "ISTIO_OUTBOUND_PORTS", list(port)],
    () => ["-o", "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE", list(port)],
    () => ["-c", "ISTIO_EXCLUDE_INTERFACES", list(nic)],
    () => ["-k", "KUBE_VIRT_INTERFACES", list(nic)],
    () => ["-t", "ISTIO_INBOUND_TPROXY_MARK", String(1 + chance.below(5_000))],
    () => ["-r", "ISTIO_INBOUND_TPROXY_ROUTE_TABLE", String(1 + chance.below(200))],
  ];
  return all.filter(() => chance.below(5) < 2).map((one) => one());
}

function distinct(list: string): string {
  return [...new Set(list.split(","))].join(",");
}

const SWITCHES: readonly (readonly [flag: string, variable: string])[] = [
  ["--redirect-dns", "ISTIO_META_DNS_CAPTURE"],
  ["--redirect-dns", "REDIRECT_DNS"],
  ["--capture-all-dns", "CAPTURE_ALL_DNS"],
  ["--drop-invalid", "INVALID_DROP"],
  ["--dual-stack", "ISTIO_DUAL_STACK"],
  ["--reconcile", "RECONCILE"],
  ["--force-apply", "FORCE_APPLY"],
];

function switches(chance: Chance): Given[] {
  const given = SWITCHES.filter(() => chance.below(3) === 0).map(([flag, variable]): Given => [flag, variable, "true"]);
  return chance.below(8) === 0 ? [...given, ["--cleanup-only", "CLEANUP_ONLY", "true"]] : given;
}

function variablesOnly(chance: Chance, isNft: boolean): [string, string][] {
  const group = (): string => (isNft ? String(chance.below(999)) : chance.one(["java", "202", "ftp", "0"]));
  const groups = (): string => [group(), ...chance.some(2, group)].join(",");
  const all: readonly (() => [string, string])[] = [
    () => ["ISTIO_OUTBOUND_OWNER_GROUPS", chance.one(["*", groups(), ""])],
    () => ["ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", groups()],
    () => ["ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", chance.one(["127.0.0.1/8", "127.0.0.0/16", "127.0.0.1/32"])],
    () => ["ISTIO_META_DNS_CAPTURE", chance.one(["true", "false", "1", "maybe"])],
  ];
  return all.filter(() => chance.below(5) === 0).map((one) => one());
}
