import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { buildCluster, CLUSTER_FILES, istioVersion } from "../cluster/binaries.ts";
import { runtimes } from "../support/pilotboat.ts";
import { iptablesSubject } from "./iptables/index.ts";
import { proxySubject } from "./proxy/index.ts";
import { reportSection, summary, unexplained, unusedReasons, withSection } from "./report.ts";
import { type Programs, type Result, runInputs } from "./run-inputs.ts";
import type { Input, Subject } from "./subject.ts";
import { type Areas, parseSwitches, type Switches, USAGE } from "./switches.ts";

// `npm run parity`, by scripts/parity.mjs. Exit code 1: there is a difference without a reason, or a reason without a difference.

const PAGE = "docs/parity.md";

async function main(): Promise<number> {
  const binaries = await buildCluster(console.log);
  const subjects = { proxy: await proxySubject(binaries), iptables: iptablesSubject() };
  const switches = readSwitches(
    Object.fromEntries(Object.entries(subjects).map(([name, { areas }]) => [name, Object.keys(areas)])),
  );
  if (switches === undefined) return 2;
  const reference = { name: "pilot-agent", command: [`${binaries}/${CLUSTER_FILES.pilotAgent}`] };
  const programs = { reference, pilotboat: runtimes() };
  const isWanted = (name: string, areas: object): boolean =>
    (switches.subject ?? name) === name && (switches.only === undefined || switches.only in areas);
  let isEqual = true;
  if (isWanted("proxy", subjects.proxy.areas)) isEqual = await compare(subjects.proxy, programs, switches);
  if (isWanted("iptables", subjects.iptables.areas))
    isEqual = (await compare(subjects.iptables, programs, switches)) && isEqual;
  return isEqual ? 0 : 1;
}

/** False when there is a difference without a reason, or a reason without a difference. */
async function compare<I extends Input>(subject: Subject<I>, programs: Programs, switches: Switches): Promise<boolean> {
  const chances = { seed: switches.seed, count: switches.count ?? subject.usualCount };
  const all = subject.inputs(chances).map((input, at) => [at + 1, input] as const);
  const inputs = all.filter(([number]) => switches.case === undefined || number === switches.case);
  const onResult = (result: Result): void => {
    for (const line of unexplained([result], switches.only)) console.log(line);
  };
  const results = await runInputs(subject, programs, inputs, onResult);
  if (switches.case !== undefined) for (const result of results) show(result);
  console.log(`${subject.title}\n${summary(results, subject, switches.only)}`);
  const stale = switches.isUsual ? unusedReasons(results, subject.reasons) : [];
  for (const { name } of stale) console.log(`No input shows the difference "${name}" any more: remove its row`);
  if (stale.length > 0 || unexplained(results, switches.only).length > 0) return false;
  if (switches.isUsual) {
    const section = reportSection(results, subject, { istio: istioVersion(), ...chances });
    writeFileSync(PAGE, withSection(existsSync(PAGE) ? readFileSync(PAGE, "utf8") : "", section));
    console.log(`${PAGE} is written.`);
  }
  return true;
}

function readSwitches(areas: Areas): Switches | undefined {
  try {
    return parseSwitches(process.argv.slice(2), areas);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.error(USAGE);
    return undefined;
  }
}

function show({ number, input, reference, runs }: Result): void {
  console.log(`Input ${number}:`, JSON.stringify(input, null, 2));
  for (const [name, seen] of [
    ["pilot-agent", reference] as const,
    ...runs.map(({ program, seen }) => [program, seen] as const),
  ]) {
    console.log(`--- ${name} printed:\n${seen.output}--- ${name} gave:\n${JSON.stringify(seen.observation, null, 2)}`);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
