import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Runtime, runtimes } from "../support/pilotboat.ts";

const why = whyNot();
if (why !== undefined) console.log(`what cannot be redirected is not tried: ${why}`);

function whyNot(): string | undefined {
  try {
    execFileSync("unshare", ["--net", "--mount", "iptables-nft", "-t", "nat", "-L"], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `there are no namespaces with rules of their own: ${String(error).split("\n")[0]}`;
  }
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-redirect-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Runs lines of a shell in a namespace with an address in both families; `pilotboat` is the product. */
async function inNamespace({ command }: Runtime, script: string): Promise<string> {
  const product = command.map((word) => `'${word}'`).join(" ");
  const text = `pilotboat() { PATH="${folder}:$PATH" ${product} "$@" 2>&1 >/dev/null; echo "code $?"; }
as() { user=$1; shift; setpriv --reuid $user --regid $user --clear-groups ${product} "$@" 2>&1 >/dev/null; echo "code $?"; }
ip link set lo up; ip address add 10.3.3.3/32 dev lo; ip address add 2001:db8::3/128 dev lo
${script}`;
  const { stdout } = await promisify(execFile)("unshare", ["--net", "--mount", "sh", "-c", text]);
  return stdout;
}

const RULES = `iptables-nft-save | grep -c -- "-j ISTIO" || true`;

describe.skipIf(why !== undefined).each(runtimes())("what cannot be done, by $name", (runtime) => {
  test("a user without rights is told which", async () => {
    const seen = await inNamespace(runtime, `as 65534 iptables -i '*'; as 65534 iptables -i '*' --dry-run`);
    expect(seen).toMatch(
      /^Error: Cannot change the rules of the network as user 65534 \[REDIRECT_NOT_POSSIBLE\]\n {2}hint: .*NET_ADMIN.*\ncode 1\ncode 0\n$/,
    );
  });

  test("without its program it is said what to install", async () => {
    const seen = await inNamespace(
      runtime,
      `mount -t tmpfs none /usr/sbin; pilotboat iptables -i '*'; pilotboat iptables -i '*' --native-nftables`,
    );
    expect(seen).toMatch(
      /Cannot find an iptables that works:[\s\S]*"iptables-nft-save": No such file[\s\S]*hint: Install the package "iptables"/,
    );
    expect(seen).toMatch(
      /the nft binary is missing in the sidecar container image.*\[PROGRAM_NOT_FOUND\]\n {2}hint: Install the package "nftables"/,
    );
  });

  test("a refusal of iptables is quoted, and leaves nothing", async () => {
    const seen = await inNamespace(runtime, `pilotboat iptables -i '*' -u nobody-of-this-name; ${RULES}`);
    expect(seen).toMatch(
      /Cannot change the rules for IPv4: "iptables-nft-restore" ended with \d+: [\s\S]*nobody-of-this-name[\s\S]*\ncode 1\n0\n$/,
    );
  });

  test.each([
    ["the rules of IPv6", "ip6tables-nft-restore", "--dual-stack -i '*'"],
    ["a route", "ip", "--dual-stack -i '*'"],
    ["a route, by nft", "ip", "--dual-stack -i '*' --native-nftables"],
  ])("where %s fail, the rules that were made before go", async (_, program, flags) => {
    await writeFile(join(folder, program), '#!/bin/sh\n[ "$1" = -V ] && exit 0\necho "planted failure" >&2\nexit 3\n', {
      mode: 0o755,
    });
    const rules = `iptables-nft-save | grep -c -- "-j ISTIO"; nft list ruleset inet | grep -c istio`;
    const seen = await inNamespace(runtime, `pilotboat iptables ${flags}; ${rules} || true`);
    expect(seen).toMatch(/ended with 3: planted failure \[REDIRECT_FAILED\]\ncode 1\n0\n0\n$/);
  });

  test("where a route fails, by nft, the tables of an earlier run stay", async () => {
    const script = '#!/bin/sh\n[ "$1" = -V ] && exit 0\necho "planted failure" >&2\nexit 3\n';
    await writeFile(join(folder, "planted"), script, { mode: 0o755 });
    const seen = await inNamespace(
      runtime,
      `pilotboat iptables -i '*' -o 8443 --native-nftables; nft list ruleset inet >${folder}/before; mv ${folder}/planted ${folder}/ip
pilotboat iptables -i '*' --dual-stack --native-nftables; nft list ruleset inet | diff ${folder}/before - && grep -c 8443 ${folder}/before`,
    );
    expect(seen).toMatch(/^code 0\nError: .*planted failure \[REDIRECT_FAILED\]\ncode 1\n[1-9]\d*\n$/);
  });

  test("other rules of an earlier run are replaced only when that is wanted", async () => {
    const other = "pilotboat iptables -i '*' -o 8443";
    const seen = await inNamespace(
      runtime,
      `pilotboat iptables -i '*'; ${other}; ${other} --reconcile; iptables-nft-save | grep -c 8443`,
    );
    expect(seen).toMatch(
      /^code 0\nError: .*Chain already exists[\s\S]*hint: .*--reconcile replaces them[\s\S]*\ncode 1\ncode 0\n2\n$/,
    );
  });

  test("the check of a redirection tells whether there is one, and who can ask", async () => {
    const check = "iptables --skip-rule-apply --run-validation --probe-timeout";
    const seen = await inNamespace(
      runtime,
      `as 1337 ${check} 300ms; pilotboat iptables -i '*' -b '*'; as 1337 ${check} 20s; pilotboat ${check} 300ms`,
    );
    const [without = "", withRules = "", asRoot = ""] = seen.split(/code 126\n|(?<=code 0\ncode 0\n)/);
    expect(without).toMatch(
      /iptables validation failed; workload is not ready for Istio.*\[REDIRECT_NOT_SEEN\]\n {2}hint: If Istio CNI/,
    );
    expect(withRules).toBe("code 0\ncode 0\n");
    expect(asRoot).toMatch(/hint: .*\(uid 1337\): run the check as that user, not as 0/);
  });

  test.each([
    ["that is missing", "/nowhere/ns", "No such file"],
    ["that is none", "/etc/hostname", "Invalid argument"],
  ])("a network namespace %s is named, and not taken for a missing iptables", async (_, path, said) => {
    const seen = await inNamespace(runtime, `pilotboat iptables -i '*' --network-namespace ${path}; ${RULES}`);
    expect(seen).toMatch(/^Error: Cannot run ".*" in the network namespace: nsenter: .*\[REDIRECT_NOT_POSSIBLE\]\n/);
    expect(seen).toContain(said);
    expect(seen).toMatch(/\n {2}hint: --network-namespace takes the file of one.*\ncode 1\n0\n$/);
  });

  test("nft takes what annotations say of iptables: ranges of ports and wildcards of interfaces", async () => {
    const seen = await inNamespace(
      runtime,
      `pilotboat iptables --native-nftables -i '*' -b 8000:8010 -c eth+; nft list ruleset | grep -cE '8000-8010|"eth\\*"'`,
    );
    expect(seen).toMatch(/^code 0\n[23]\n$/);
  });

  const BOTH = `for one in nft legacy; do iptables-$one-save | grep -c -- "-j ISTIO" || true; done`;
  test.each([
    ["--cleanup-only", "removes them all", "0\n0\n"],
    ["--reconcile", "keeps one of them", "0\n[1-9]\\d*\n"],
  ])("where rules are in both variants of iptables, %s %s", async (flag, _, left) => {
    const twice = "pilotboat iptables -i '*'; pilotboat iptables -i '*' --force-iptables-binary legacy";
    const seen = await inNamespace(runtime, `${twice}; pilotboat iptables -i '*' ${flag}; ${BOTH}`);
    expect(seen).toMatch(new RegExp(`^(?:code 0\n){3}${left}$`));
  });

  test("a second run changes nothing where another program has rules in the older variant", async () => {
    const seen = await inNamespace(
      runtime,
      `pilotboat iptables -i '*'; iptables-legacy -t nat -A OUTPUT -p 254 -j RETURN; pilotboat iptables -i '*'; ${BOTH}`,
    );
    expect(seen).toMatch(/^code 0\ncode 0\n[1-9]\d*\n0\n$/);
  });

  test("the rules of another namespace are changed, and those of this one are not", async () => {
    const seen = await inNamespace(
      runtime,
      `unshare --net sleep 60 & other=$!
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
nsenter --net=/proc/$other/ns/net ip address add 10.9.9.9/32 dev lo
pilotboat iptables -i '*' --network-namespace /proc/$other/ns/net
${RULES}
nsenter --net=/proc/$other/ns/net ${RULES}
kill $other`,
    );
    expect(seen).toMatch(/^code 0\n0\n[1-9]\d*\n$/);
  });
});
