import { execFile, execFileSync } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startUpstream, type Upstream } from "../dns/rig.ts";
import { type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";

// DNS for people who try the product: `up` and `run --local` with ISTIO_META_DNS_CAPTURE, and `dig` of bind9-dnsutils.

const NAMES = `
names:
  reviews.default.svc.cluster.local:
    { ips: [10.9.8.7], registry: Kubernetes, shortname: reviews, namespace: default }
`;
/** The machine's other server, at the only port that resolv.conf knows. */
const UPSTREAM = "127.0.0.77";

function why(): string | undefined {
  if (process.getuid?.() !== 0) return "only root can give the agent another resolv.conf";
  try {
    execFileSync("dig", ["-v"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "there is no dig here, bind9-dnsutils has it";
  }
}
const skipped = why();
const title = `dig asks the DNS server of a local mesh${skipped === undefined ? "" : ` (skipped: ${skipped})`}`;

describe.runIf(skipped === undefined)(title, () => {
  let folder: string;
  let upstream: Upstream;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-dig-"));
    await cp(resolve("examples/quickstart/xds"), join(folder, "xds"), { recursive: true });
    await writeFile(join(folder, "xds", "names.yaml"), NAMES);
    await writeFile(join(folder, "resolv.conf"), `nameserver ${UPSTREAM}\n`);
    upstream = await startUpstream(
      (name) => (name === "www.example.com" ? [{ type: "A", name, data: "203.0.113.7" }] : undefined),
      UPSTREAM,
      53,
    );
  });
  afterAll(async () => {
    await upstream?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  /** With a resolv.conf of the test's. */
  const elsewhere = ({ name, command }: Runtime): Runtime => ({
    name,
    command: [
      ...["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"'],
      ...[join(folder, "resolv.conf"), ...command],
    ],
  });
  const words = (port: number) => ["@127.0.0.1", "-p", String(port), "+tries=1", "+time=5", "+short"];
  /** Not synchronous: the other server is in this process. */
  const dig = async (port: number, ...more: readonly string[]): Promise<string> =>
    (await promisify(execFile)("dig", [...words(port), ...more])).stdout.trim();

  test.each(runtimes())("up, on $name: names of the table, and the rest from the other server", async (runtime) => {
    const [port = 0] = await freePorts(1);
    const env = { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${port}`, TMPDIR: folder };
    await using command = start(elsewhere(runtime), ["up", "xds"], { cwd: folder, env });
    await command.waitFor(/^Ctrl-C stops everything/m);
    for (const over of ["+notcp", "+tcp"]) {
      expect(await dig(port, "reviews.default.svc.cluster.local", over)).toBe("10.9.8.7");
      expect(await dig(port, "reviews.default", over)).toBe("10.9.8.7");
      expect(await dig(port, "www.example.com", over)).toBe("203.0.113.7");
    }
    command.kill("SIGTERM");
    await command.ended;
  });

  test.each(runtimes())("run --local, on $name: the program may ask at once", async (runtime) => {
    const [port = 0] = await freePorts(1);
    const env = { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${port}`, TMPDIR: folder };
    const ask = (name: string) => ["dig", ...words(port), name].join(" ");
    const program = ["sh", "-c", `${ask("reviews.default.svc.cluster.local")}; ${ask("www.example.com")}`];
    const ran = await run(elsewhere(runtime), ["run", "--local", "--resources", "xds", "--", ...program], {
      cwd: folder,
      env,
    });
    expect(ran).toMatchObject({ code: 0, stdout: "10.9.8.7\n203.0.113.7\n" });
  });
});
