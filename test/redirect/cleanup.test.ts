import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type Runtime, runtimes } from "../support/pilotboat.ts";

const why = whyNot();
if (why !== undefined) console.log(`cleaning up is not tried on a kernel: ${why}`);

function whyNot(): string | undefined {
  try {
    execFileSync("unshare", ["--net", "--mount", "sh", "-c", "iptables-nft -t nat -L && nft list tables && ip rule"], {
      stdio: "pipe",
    });
    return undefined;
  } catch (error) {
    return `there are no namespaces with rules of their own: ${String(error).split("\n")[0]}`;
  }
}

/** Rules, chains of ours, tables of nft, routes and addresses; `legacy` makes its own tables only where it has rules. */
const STATE = `state() {
  for six in "" 6; do for one in nft legacy; do ip\${six}tables-$one-save | grep -E '^-A|^:ISTIO' | sed "s/^/ip$six $one /"; done; done 2>/dev/null | sort
  nft list tables | grep inet
  ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip address show dev lo
}`;

/** Rules of somebody else; some are equal to one that a run makes, or nearly. */
const USERS = `iptables-nft -A FORWARD -p tcp -j DROP
iptables-nft -t nat -A PREROUTING -i eth7 -j RETURN
iptables-nft -t nat -A OUTPUT -o eth9 -j RETURN
iptables-nft -t mangle -A PREROUTING -p tcp -m mark --mark 77 -j CONNMARK --save-mark
iptables-nft -t mangle -A OUTPUT -p tcp -m connmark --mark 9 -j CONNMARK --restore-mark
ip rule add fwmark 9 lookup 99; ip route add local default dev lo table 99
ip rule add fwmark 1337 lookup 50; ip route add 10.9.0.0/16 dev lo table 50
nft add table inet users`;

async function inNamespace({ command }: Runtime, script: string): Promise<string> {
  const product = command.map((word) => `'${word}'`).join(" ");
  const text = `pilotboat() { ${product} "$@" 2>&1 >/dev/null; echo "code $?"; }
${STATE}
ip link set lo up; ip address add 10.3.3.3/32 dev lo; ip address add 2001:db8::3/128 dev lo
${script}`;
  const { stdout } = await promisify(execFile)("unshare", ["--net", "--mount", "sh", "-c", text]);
  return stdout;
}

const TPROXY = "iptables -u 1337 -m TPROXY -t 77 -r 144 -b '*' -i '*' -k eth7 --dual-stack --drop-invalid";
const DNS = "iptables -i '*' -b 80 --dual-stack --redirect-dns --capture-all-dns";

describe.skipIf(why !== undefined).each(runtimes())("cleaning up, by $name", (runtime) => {
  test.each([
    ["TPROXY", TPROXY, ""],
    ["TPROXY, by nft", `${TPROXY} --native-nftables`, ""],
    ["TPROXY, cleaned by nft", TPROXY, "--native-nftables"],
    ["TPROXY with the usual mark and another table", "iptables -m TPROXY -b 80 -r 7", "-i '*'"],
    ["DNS of both families, by the older variant", `${DNS} --force-iptables-binary legacy`, ""],
    ["DNS of both families, cleaned by another variant", DNS, "--force-iptables-binary legacy"],
  ])(
    "what a run with other flags made goes, and rules of others stay: %s",
    { timeout: 60_000 },
    async (_, apply, flags) => {
      const seen = await inNamespace(
        runtime,
        `${USERS}
before=$(state); pilotboat ${apply}; made=$(state); [ "$made" != "$before" ] && echo made
pilotboat iptables --cleanup-only ${flags}
[ "$(state)" = "$before" ] && echo same || { echo "$before" >/tmp/$$; state | diff /tmp/$$ -; rm /tmp/$$; }`,
      );
      expect(seen).toBe("code 0\nmade\ncode 0\nsame\n");
    },
  );

  test("what the reference left of TPROXY goes: marks without a chain, and its routing rule twice", async () => {
    const seen = await inNamespace(
      runtime,
      `before=$(state)
iptables-nft -t mangle -A PREROUTING -p tcp -m mark --mark 5 -j CONNMARK --save-mark
iptables-nft -t mangle -A OUTPUT -p tcp -o lo -m mark --mark 5 -j RETURN
iptables-nft -t mangle -A OUTPUT ! -d 127.0.0.1/32 -p tcp -o lo -m owner --uid-owner 7 -j MARK --set-mark 1338
iptables-nft -t mangle -A OUTPUT -p tcp -m connmark --mark 5 -j CONNMARK --restore-mark
ip rule add fwmark 5 lookup 133; ip rule add fwmark 5 lookup 133 priority 900; ip route add local default dev lo table 133
pilotboat iptables --cleanup-only
[ "$(state)" = "$before" ] && echo same || state`,
    );
    expect(seen).toBe("code 0\nsame\n");
  });

  test("replacing rules leaves a rule of somebody else that is equal to a guardrail", async () => {
    const users = ["INPUT -p tcp", "OUTPUT -p udp", "FORWARD -p udp"].map((rule) => `iptables-nft -A ${rule} -j DROP`);
    const seen = await inNamespace(
      runtime,
      `${users.join("; ")}
pilotboat iptables -i '*'; pilotboat iptables -i '*' -o 8443 --reconcile; iptables-nft -S | grep DROP`,
    );
    expect(seen).toBe("code 0\ncode 0\n-A INPUT -p tcp -j DROP\n-A FORWARD -p udp -j DROP\n-A OUTPUT -p udp -j DROP\n");
  });
});
