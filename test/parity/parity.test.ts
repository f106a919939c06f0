import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CLUSTER_FILES, cachedCluster } from "../cluster/binaries.ts";
import { runtimes } from "../support/pilotboat.ts";
import { iptablesSubject } from "./iptables/index.ts";
import { iptablesInputs } from "./iptables/inputs.ts";
import { REASONS as IPTABLES_REASONS } from "./iptables/reasons.ts";
import { proxySubject } from "./proxy/index.ts";
import { proxyInputs } from "./proxy/inputs/index.ts";
import { REASONS } from "./proxy/reasons.ts";
import { unexplained, unusedReasons, withSection } from "./report.ts";
import { type Result, runInputs } from "./run-inputs.ts";
import { parseSwitches } from "./switches.ts";

// After a change to inputs or reasons: npm run build && npm run build:executable && npm run parity
describe("docs/parity.md", () => {
  test("has a row for every reason", () => {
    const reasons = [...REASONS, ...IPTABLES_REASONS];
    const rows = [...readFileSync("docs/parity.md", "utf8").matchAll(/^\| (?!difference |area |---)(.+?) \|/gm)];
    const named = rows.map(([, name = ""]) => name);
    expect(reasons.map(({ name }) => name).filter((name) => !named.includes(name))).toEqual([]);
  });

  test("was made of as many inputs as there are", () => {
    const page = readFileSync("docs/parity.md", "utf8");
    const { usualCount } = iptablesSubject();
    for (const [inputs, count] of [[proxyInputs, 100] as const, [iptablesInputs, usualCount] as const]) {
      expect(page).toContain(`${inputs({ seed: 1, count }).length} inputs, ${count} of them`);
    }
  });

  test("a section of one command leaves those of the others alone", () => {
    const page = "# Old head\n\n## one\n\n1\n\n## two\n\n2\n";
    const changed = withSection(page, "## one\n\nnew\n");
    expect(changed).toMatch(/^# Parity with pilot-agent\n[\s\S]*\n## one\n\nnew\n\n## two\n\n2\n$/);
    expect(withSection(changed, "## three\n\n3\n")).toBe(`${changed}\n## three\n\n3\n`);
  });
});

test("inputs and reasons have names of their own", () => {
  for (const named of [
    ...[proxyInputs({ seed: 1, count: 20 }), REASONS],
    ...[iptablesInputs({ seed: 1, count: 20 }), IPTABLES_REASONS],
  ]) {
    const names = named.map(({ name }) => name);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  }
});

test("one seed makes the same inputs again, another one others", () => {
  const by = (seed: number) =>
    proxyInputs({ seed, count: 5 })
      .slice(-5)
      .map(({ name: _, ...input }) => input);
  expect(by(7)).toEqual(by(7));
  expect(by(7)).not.toEqual(by(8));
});

test.each([
  [["--only", "nonsense"], /no area "nonsense"/],
  [["nonsense"], /no command "nonsense"/],
  [["--case", "3"], /--case needs the command/],
  [["proxy", "--case", "x"], /--case needs a whole number/],
  [["--nonsense"], /nonsense/],
])("the switches %j are refused", (words, trouble) => {
  expect(() => parseSwitches(words, { proxy: ["node"] })).toThrow(trouble);
});

const bin = cachedCluster();
const why = whyNot();
if (why !== undefined) console.log(`pilot-agent and pilotboat are not compared: ${why}`);

describe.skipIf(why !== undefined)("pilot-agent and pilotboat", () => {
  const WANTED = [
    "a sidecar",
    "proxy router",
    "two families, dual stack",
    "proxy ingress",
    "Envoy ends with 3",
    "SIGTERM",
  ];
  const compare = async (pilotboat = runtimes()): Promise<Result[]> => {
    const subject = await proxySubject(bin ?? "");
    const inputs = subject.inputs({ seed: 1, count: 0 }).filter(({ name }) => WANTED.includes(name));
    expect(inputs).toHaveLength(WANTED.length);
    const reference = { name: "pilot-agent", command: [`${bin}/${CLUSTER_FILES.pilotAgent}`] };
    const numbered = inputs.map((input, at) => [at + 1, input] as const);
    return await runInputs(subject, { reference, pilotboat }, numbered, () => undefined);
  };

  test("differ only with a reason, on both runtimes", { timeout: 300_000 }, async () => {
    const results = await compare();
    expect(unexplained(results)).toEqual([]);
    const used = REASONS.filter((reason) => !unusedReasons(results, REASONS).includes(reason));
    expect(used.map(({ name }) => name)).toContain("exit code of an error");
    const ended = results.filter(({ areas }) => !areas.includes("bootstrap"));
    expect(ended.map(({ input }) => input.name)).toEqual(["proxy ingress"]);
  });

  test("a planted difference is found", { timeout: 300_000 }, async () => {
    const [runtime] = runtimes();
    if (runtime === undefined) throw new Error("there is no pilotboat");
    const planted = { name: "planted", command: ["env", "ISTIO_META_PLANTED=yes", ...runtime.command] };
    const lines = unexplained(await compare([planted]));
    expect(lines.join("\n")).toContain('node/metadata/PLANTED\n    (nothing)\n    "yes"');
    expect(lines.join("\n")).toContain("environment/variables/ISTIO_META_PLANTED");
  });
});

describe.skipIf(why !== undefined || !hasRules())("istio-iptables of both", () => {
  const compare = async (pilotboat = runtimes()): Promise<Result[]> => {
    const subject = iptablesSubject();
    const wanted = ["apply in both families", "nft: apply TPROXY"];
    const chosen = subject
      .inputs({ seed: 7, count: 5 })
      .filter(({ name }) => /by chance/.test(name) || wanted.includes(name));
    expect(chosen).toHaveLength(7);
    const reference = { name: "pilot-agent", command: [`${bin}/${CLUSTER_FILES.pilotAgent}`] };
    const numbered = chosen.map((input, at) => [at + 1, input] as const);
    return await runInputs(subject, { reference, pilotboat }, numbered, () => undefined);
  };

  test("make the same rules, on both runtimes", { timeout: 300_000 }, async () => {
    expect(unexplained(await compare())).toEqual([]);
  });

  test("a planted difference is found", { timeout: 300_000 }, async () => {
    const [runtime] = runtimes();
    if (runtime === undefined) throw new Error("there is no pilotboat");
    const planted = { name: "planted", command: ["env", "INBOUND_TUNNEL_PORT=99", ...runtime.command] };
    expect(unexplained(await compare([planted])).join("\n")).toContain("-A ISTIO_INBOUND -p tcp --dport 99 -j RETURN");
  });
});

/** The programs that change rules. */
function hasRules(): boolean {
  try {
    execFileSync("sh", ["-c", "command -v iptables-nft && command -v iptables-legacy && command -v nft"], {
      stdio: "pipe",
    });
    return true;
  } catch {
    console.log("istio-iptables of both are not compared: iptables or nft is missing");
    return false;
  }
}

function whyNot(): string | undefined {
  if (bin === undefined) return "pilot-agent is not built (npm run test:cluster builds it)";
  try {
    execFileSync("unshare", ["--net", "--mount", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"]), "true"]);
    return undefined;
  } catch {
    return "there are no namespaces for them to run in";
  }
}
