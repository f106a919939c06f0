import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Runtime, runtimes } from "../support/pilotboat.ts";

const why = whyNot();
if (why !== undefined) console.log(`a stop in the middle of a change is not tried: ${why}`);

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
  folder = await mkdtemp(join(tmpdir(), "pb-redirect-stop-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Puts a program before that of the system, which does `action` where its words match `pattern` of a shell. */
async function wrap(program: string, pattern: string, action: string): Promise<void> {
  const script = `#!/bin/sh\ncase "$*" in ${pattern}) ${action} ;; esac\nPATH=/usr/sbin:/sbin:/usr/bin:/bin exec ${program} "$@"\n`;
  await writeFile(join(folder, program), script, { mode: 0o755 });
}

/** What is left of rules, chains, guardrails, the trial, and the address and routes for them. */
const LEFT = `for one in iptables-nft-save ip6tables-nft-save; do $one; done | grep -E "^:ISTIO|ISTIO_|DROP|255" || true
ip -6 address show dev lo | grep -F ::6/ || true
ip -6 rule | grep fwmark || true
`;

async function inNamespace({ command }: Runtime, script: string): Promise<string> {
  const product = command.map((word) => `'${word}'`).join(" ");
  const text = `exec 2>&1
wrapped() { PATH="${folder}:$PATH" ${product} "$@" 2>&1 >'${folder}/log'; echo "code $?"; }
stopped() {
  PATH="${folder}:$PATH" ${product} "$@" >'${folder}/log' & pid=$!
  until [ -e '${folder}/reached' ] || ! kill -0 $pid; do sleep 0.02; done
  kill -TERM $pid; wait $pid; echo "code $?"
}
ip link set lo up; ip address add 10.3.3.3/32 dev lo; ip address add 2001:db8::3/128 dev lo
${script}`;
  const { stdout } = await promisify(execFile)("unshare", ["--net", "--mount", "sh", "-c", text]);
  return stdout;
}

/** The first time only: cleaning up calls the same program. */
const hangOnce = () => `mkdir '${folder}/reached' 2>/dev/null && sleep 60`;

describe.skipIf(why !== undefined).each(runtimes())("SIGTERM in the middle of a change, by $name", (runtime) => {
  test.each([
    ["removing the old rules", "iptables-nft", "*'-X ISTIO_OUTPUT'*", "--reconcile -o 8443", "iptables -i '*' -o 1"],
    ["making the new ones", "iptables-nft-restore", "*", "--reconcile -o 8443", "iptables -i '*'"],
    ["making the rules of IPv6", "ip6tables-nft-restore", "*", "--dual-stack", ""],
    ["adding an address", "ip", "*'address add'*", "--dual-stack", ""],
    ["adding a routing rule", "ip", "*'-6 rule add'*", "--dual-stack -m TPROXY -b 80", ""],
    ["a trial of iptables", "iptables-nft", "*'-D INPUT -p 255'*", "", ""],
  ])("%s leaves nothing", { timeout: 60_000 }, async (_, program, pattern, flags, before) => {
    const earlier = before === "" ? "" : `wrapped ${before}\n`;
    const calls = `${earlier}mv '${folder}/off/${program}' '${folder}/'\nstopped iptables -i '*' ${flags}\n${LEFT}`;
    await wrap(program, pattern, hangOnce());
    execFileSync("sh", ["-c", `mkdir off && mv ${program} off/`], { cwd: folder });
    const seen = await inNamespace(runtime, calls);
    expect(seen).toBe(`${before === "" ? "" : "code 0\n"}Error: Stopped: received signal SIGTERM [STOPPED]\ncode 1\n`);
  });

  test("setting up guardrails leaves the old rules and no guardrail", { timeout: 60_000 }, async () => {
    await wrap("iptables-nft", "*'-I FORWARD 1 -p udp'*", hangOnce());
    const seen = await inNamespace(
      runtime,
      `wrapped iptables -i '*'; iptables-nft-save -t nat | grep ^- >'${folder}/old'
stopped iptables -i '*' -o 8443 --reconcile
iptables-nft-save -t nat | grep ^- | cmp - '${folder}/old' && iptables-nft -t filter -S | grep -c DROP || true`,
    );
    expect(seen).toBe("code 0\nError: Stopped: received signal SIGTERM [STOPPED]\ncode 1\n0\n");
  });

  test("cleaning up does not call itself done", { timeout: 60_000 }, async () => {
    await wrap("iptables-nft", "*'-F ISTIO_OUTPUT'*", hangOnce());
    const seen = await inNamespace(
      runtime,
      `wrapped iptables -i '*'; stopped iptables -i '*' --cleanup-only; wrapped iptables -i '*' --cleanup-only\n${LEFT}`,
    );
    expect(seen).toBe("code 0\nError: Stopped: received signal SIGTERM [STOPPED]\ncode 1\ncode 0\n");
  });

  test("guardrails of a run that was killed go with a clean-up", { timeout: 60_000 }, async () => {
    await wrap("iptables-nft", "*'-F ISTIO_OUTPUT'*", `mkdir '${folder}/reached' 2>/dev/null && kill -9 $PPID`);
    const seen = await inNamespace(
      runtime,
      `wrapped iptables -i '*'; (wrapped iptables -i '*' -o 8443 --reconcile) 2>/dev/null; iptables-nft -S | grep -c DROP
wrapped iptables --cleanup-only\n${LEFT}`,
    );
    expect(seen).toMatch(/^code 0\n(?:Killed\n)?code 137\n6\ncode 0\n$/); // some shells say it
  });

  test("a guardrail that stays is an error that says how to remove it", { timeout: 60_000 }, async () => {
    await wrap("iptables-nft", "*'-D OUTPUT -p udp'*", "echo planted failure >&2; exit 4");
    const seen = await inNamespace(
      runtime,
      `wrapped iptables -i '*'; wrapped iptables -i '*' -o 8443 --reconcile\niptables-nft -t filter -S`,
    );
    expect(seen).toMatch(
      /^code 0\nError: Cannot remove the guardrails, so that no TCP and no UDP passes in this network namespace.*planted failure.*\[REDIRECT_FAILED\]\n {2}hint: Run as root: iptables-nft -t filter -D OUTPUT -p udp -m comment --comment pilotboat-guardrail -j DROP\ncode 1\n/,
    );
    expect(seen.match(/-j DROP$/gm)).toHaveLength(2); // the line of the hint, and the rule that stayed
  });
});
