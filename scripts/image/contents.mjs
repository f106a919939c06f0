// What the proxy image holds beside its base. Dockerfile.proxy says the same in Docker's words; a test compares the two.

/** The user of the proxy, which traffic redirection lets pass. Source: istio/istio pkg/kube/inject, tools/istio-iptables. */
export const PROXY_ID = 1337;

/** Files of this project; `from` is relative to it. */
export const FILES = [
  { from: "dist/pilotboat", to: "/usr/local/bin/pilotboat", mode: 0o755 },
  { from: "LICENSE", to: "/usr/share/doc/pilotboat/LICENSE", mode: 0o644 },
  { from: "dist/THIRD-PARTY-NOTICES.txt", to: "/usr/share/doc/pilotboat/THIRD-PARTY-NOTICES.txt", mode: 0o644 },
];

export const ENVOY = "/usr/local/bin/envoy";

/** The name that pods, probes and hooks of Istio call. */
export const LINKS = [{ at: "/usr/local/bin/pilot-agent", to: "pilotboat" }];

/** What the agent writes to where no volume is mounted; an injected pod mounts one at each. */
export const FOLDERS = [
  "/etc/istio/proxy",
  "/var/lib/istio/data",
  "/var/run/secrets/credential-uds",
  "/var/run/secrets/workload-spiffe-credentials",
  "/var/run/secrets/workload-spiffe-uds",
];

export const RUN = {
  Entrypoint: ["/usr/local/bin/pilot-agent"],
  WorkingDir: "/",
  User: `${PROXY_ID}:${PROXY_ID}`,
};

/**
 * Debian packages of the small variant: the C library, roots of public authorities, and what rewrites traffic for
 * `istio-iptables`, with `ip` for its addresses and routes. No shell. Each list is closed under dependencies, but for those that only maintainer scripts need.
 */
const SMALL = [
  ...["base-files", "netbase", "ca-certificates", "libc6", "libgcc-s1", "gcc-12-base"],
  ...["iptables", "libip4tc2", "libip6tc2", "libxtables12", "libmnl0", "libnfnetlink0", "libnetfilter-conntrack3"],
  ...[
    "nftables",
    "libnftables1",
    "libnftnl11",
    "libjansson4",
    "libgmp10",
    "libedit2",
    "libbsd0",
    "libmd0",
    "libtinfo6",
  ],
  ...["iproute2", "libbpf1", "libelf1", "libcap2", "zlib1g"],
];

/** What people debug with, and what it needs. */
const TOOLS = [
  ...["dash", "coreutils", "grep", "sed", "findutils", "procps", "curl", "libproc2-0", "libsystemd0"],
  ...["libacl1", "libattr1", "libselinux1", "libpcre2-8-0", "libgmp10", "libncursesw6", "libbpf1", "libelf1", "zlib1g"],
  ...["libcap2", "libtirpc3", "libdb5.3", "libcurl4", "libnghttp2-14", "libidn2-0", "libunistring2", "librtmp1"],
  ...["libssh2-1", "libpsl5", "libssl3", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0"],
  ...["libcom-err2", "libkeyutils1", "libldap-2.5-0", "libsasl2-2", "libzstd1", "libbrotli1", "libgnutls30"],
  ...[
    "libhogweed6",
    "libnettle8",
    "libp11-kit0",
    "libtasn1-6",
    "libffi8",
    "libgcrypt20",
    "libgpg-error0",
    "liblz4-1",
    "liblzma5",
  ],
];

/** By the name of the variant: `distroless` has no shell, `debug` has one and the usual tools. */
export const PACKAGES = { distroless: SMALL, debug: [...new Set([...SMALL, ...TOOLS])] };

/** Debian chooses these with update-alternatives, which is a maintainer script. */
export const ALTERNATIVES = ["iptables", "ip6tables"].flatMap((name) =>
  ["", "-save", "-restore"].map((kind) => ({ at: `/usr/sbin/${name}${kind}`, to: `/usr/sbin/${name}-nft${kind}` })),
);
