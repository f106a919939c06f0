import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nameTable, type Rig, startDns, startUpstream, type Upstream } from "./rig.ts";

// What a resolver that we did not write makes of our answers: `dig`, of Debian's package bind9-dnsutils.

const run = promisify(execFile);

function hasDig(): boolean {
  try {
    execFileSync("dig", ["-v"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const title = hasDig() ? "dig reads" : "dig reads (skipped: there is no dig here, bind9-dnsutils has it)";

describe.runIf(hasDig())(title, () => {
  let dns: Rig;
  let upstream: Upstream;
  beforeAll(async () => {
    upstream = await startUpstream((name, { questions }) => {
      const [question] = questions ?? [];
      if (name.toLowerCase() !== "www.example.com") return undefined;
      if (question?.type === "TXT")
        return [{ type: "TXT", name, data: ["x".repeat(200), "y".repeat(200), "z".repeat(200)] }];
      return [{ type: "A", name, ttl: 60, data: "203.0.113.7" }];
    });
    dns = await startDns({ upstreamPort: upstream.port });
    const many = Array.from({ length: 60 }, (_, at) => `10.5.0.${at + 1}`);
    dns.server.take(
      nameTable({
        "reviews.ns1.svc.cluster.local": {
          ips: ["10.9.8.7", "2001:db8::7"],
          ...{ registry: "Kubernetes", shortname: "reviews", namespace: "ns1" },
        },
        "*.wild.example": { ips: ["10.9.8.8"] },
        "giant.example": { ips: many },
      }),
    );
  });
  afterAll(async () => {
    await dns?.[Symbol.asyncDispose]();
    await upstream?.[Symbol.asyncDispose]();
  });

  /** The status, the flags, the size of the packet, and the answers without their TTL. */
  const dig = async (...words: readonly string[]) => {
    const port = String(dns.server.addresses[0]?.split(":").at(-1));
    const flags = ["+tries=1", "+time=5", "+nocookie"];
    const { stdout } = await run("dig", ["@127.0.0.1", "-p", port, ...flags, ...words]);
    const records = /;; ANSWER SECTION:\n((?:\S.*\n)*)/.exec(stdout)?.[1] ?? "";
    return {
      text: stdout,
      status: /status: (\w+)/.exec(stdout)?.[1],
      flags: /;; flags: ([a-z ]*);/.exec(stdout)?.[1],
      answers: records
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.split(/\s+/).toSpliced(1, 1).join(" ")),
    };
  };
  const NAME = "reviews.ns1.svc.cluster.local";
  const clean = /malformed|bad packet|Got bad|extra bytes|mismatch|parse error/i;

  test.each([
    [[NAME], [`${NAME}. IN A 10.9.8.7`]],
    [[NAME, "AAAA"], [`${NAME}. IN AAAA 2001:db8::7`]],
    [["ReViews.NS1.svc.cluster.local"], [`${NAME}. IN A 10.9.8.7`]],
    [["reviews"], ["reviews. IN A 10.9.8.7"]],
    [["www.wild.example"], ["www.wild.example. IN A 10.9.8.8"]],
    [["www.wild.example.ns1.svc.cluster.local"], ["www.wild.example.ns1.svc.cluster.local. IN A 10.9.8.8"]],
    [["giant.example.ns1.svc.cluster.local", "+short", "+tcp"], []],
    [["www.wild.example", "AAAA"], []],
  ])("our own answer to %j", async (words, answers) => {
    for (const more of [[], ["+tcp"], ["+noedns"], ["+bufsize=512"]]) {
      const found = await dig(...words, ...more);
      expect(found.text).not.toMatch(clean);
      if (words.includes("+short"))
        expect(found.text.trim().split("\n")).toHaveLength(61); // the CNAME and 60 addresses
      else expect(found).toMatchObject({ status: "NOERROR", flags: "qr aa rd", answers });
    }
  });

  test("a CNAME for a name with a search domain", async () => {
    for (const asked of ["reviews.ns1.ns1.svc.cluster.local", "Reviews.NS1.ns1.svc.cluster.local"]) {
      const { answers, text } = await dig(asked);
      expect(text).not.toMatch(clean);
      expect(answers).toEqual([
        "reviews.ns1.ns1.svc.cluster.local. IN CNAME reviews.ns1.",
        "reviews.ns1. IN A 10.9.8.7",
      ]);
    }
  });

  test("a cut answer sends it to TCP, where all of it is", async () => {
    const { text, answers } = await dig("giant.example", "+noedns");
    expect(text).toContain(";; Truncated, retrying in TCP mode.");
    expect(answers).toHaveLength(60);
    const { text: cut, flags } = await dig("giant.example", "+noedns", "+ignore");
    expect(flags).toBe("qr aa tc rd");
    expect(cut).not.toMatch(clean);
  });

  test("what is not ours is passed on: another name, another type, a name that is not there, an answer that is cut", async () => {
    expect(await dig("www.example.com")).toMatchObject({
      status: "NOERROR",
      answers: ["www.example.com. IN A 203.0.113.7"],
    });
    expect(await dig("nothing.example.com")).toMatchObject({ status: "NXDOMAIN", answers: [] });
    expect(await dig(NAME, "SRV")).toMatchObject({ status: "NXDOMAIN" });
    const long = await dig("www.example.com", "TXT", "+noedns");
    expect(long.text).toContain(";; Truncated, retrying in TCP mode.");
    expect(long.answers.join("")).toContain("z".repeat(200));
    for (const { text } of [long]) expect(text).not.toMatch(clean);
  });

  test("an opcode and a question of another kind get an error that it understands", async () => {
    expect(await dig("www.example.com", "+opcode=UPDATE")).toMatchObject({ status: "NOTIMP" });
    expect(await dig("example.com", "+opcode=STATUS")).toMatchObject({ status: "NOTIMP" });
  });
});
