import { execFile, execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type Runtime, runtimes } from "../support/pilotboat.ts";

const why = whyNot();
if (why !== undefined) console.log(`traffic is not redirected on a kernel: ${why}`);

/** Root in namespaces of its own, and the programs that change rules and call. */
function whyNot(): string | undefined {
  for (const name of ["iptables-nft", "nft", "ip", "python3"]) {
    try {
      execFileSync("sh", ["-c", `command -v ${name}`], { stdio: "pipe" });
    } catch {
      return `the program ${name} is missing`;
    }
  }
  try {
    execFileSync("unshare", ["--net", "--mount", "iptables-nft", "-t", "nat", "-L"], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `there are no namespaces with rules of their own: ${String(error).split("\n")[0]}`;
  }
}

const SIDECAR = [
  "-u",
  "1337",
  "-i",
  "*",
  "-b",
  "*",
  "-d",
  "15090,15021,15020",
  "-o",
  "8443",
  "--dual-stack",
  "--redirect-dns",
];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

type State = Readonly<Record<"iptables" | "nft" | "routes", string>>;

interface Seen extends Readonly<Record<"before" | "rules" | "rulesAgain" | "after", State>> {
  readonly applied: Ended;
  readonly again: Ended;
  readonly cleaned: Ended;
  readonly traffic: Readonly<Record<string, string>>;
  readonly trafficAfter: Readonly<Record<string, string>>;
}

async function see({ command }: Runtime, flags: readonly string[]): Promise<Seen> {
  const apply = [...command, "iptables", ...SIDECAR, ...flags];
  const calls = { apply, cleanup: [...apply, "--cleanup-only"], isTproxy: flags.includes("TPROXY") };
  const words = ["--net", "--mount", "python3", resolve("test/redirect/traffic.py"), JSON.stringify(calls)];
  const { stdout } = await promisify(execFile)("unshare", words, { maxBuffer: 2 ** 24 });
  return JSON.parse(stdout) as Seen;
}

const TRAFFIC = {
  "application calls 10.0.0.1:80": "15001 for 10.0.0.1:80",
  "application calls [2001:db8:3::1]:80": "15001 for [2001:db8:3::1]:80",
  "application calls an excluded port": "peer",
  "application calls localhost": "application",
  "application calls its own address": "application",
  "proxy calls 10.0.0.1:80": "peer",
  "proxy calls the application's address": "15006 for 10.3.3.3:8080",
  "peer calls IPv4": "15006 for 10.3.3.3:8080",
  "peer calls IPv6": "15006 for [2001:db8:3::3]:8080",
  "peer calls an excluded port": "application",
  "application asks DNS by UDP": "agent",
  "application asks DNS by TCP": "agent",
  "proxy asks DNS by UDP": "peer",
};

/** Source addresses of others stay, and the socket has the address that was called. */
const TPROXY_TRAFFIC = {
  ...TRAFFIC,
  "proxy calls the application's address": "15006 at 127.0.0.1:15006 from 10.3.3.3",
  "peer calls IPv4": "15006 at 10.3.3.3:8080 from 10.3.3.1",
  "peer calls IPv6": "15006 at 2001:db8:3::3:8080 from 2001:db8:3::1",
};

const WAYS = [
  ["iptables", [], TRAFFIC],
  ["iptables, TPROXY", ["-m", "TPROXY"], TPROXY_TRAFFIC],
  ["nft", ["--native-nftables"], TRAFFIC],
  ["nft, TPROXY", ["--native-nftables", "-m", "TPROXY"], TPROXY_TRAFFIC],
] as const;

describe.skipIf(why !== undefined).each(runtimes())("on a kernel, by $name", (runtime) => {
  test.each(WAYS)(
    "traffic goes where the rules say, twice the same, and nothing stays: %s",
    { timeout: 120_000 },
    async (_, flags, traffic) => {
      const seen = await see(runtime, flags);
      expect(seen.applied).toMatchObject({ code: 0, stderr: "" });
      expect(seen.traffic).toEqual(traffic);
      expect(seen.again.code).toBe(0);
      expect(seen.rulesAgain).toEqual(seen.rules);
      expect(seen.cleaned.code).toBe(0);
      expect(seen.after).toEqual(seen.before);
      expect(seen.trafficAfter).toEqual({ "application calls 10.0.0.1:80": "peer", "peer calls IPv4": "application" });
    },
  );
});
