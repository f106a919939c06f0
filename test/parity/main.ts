import { writeFileSync } from "node:fs";
import { buildCluster, CLUSTER_FILES, istioVersion } from "../cluster/binaries.ts";
import { runtimes } from "../support/pilotboat.ts";
import { proxySubject } from "./proxy/index.ts";
import { reportPage, summary, unexplained, unusedReasons } from "./report.ts";
import { type Result, runInputs } from "./run-inputs.ts";
import { parseSwitches, type Switches, USAGE } from "./switches.ts";

// `npm run parity`, by scripts/parity.mjs. Exit code 1: there is a difference without a reason, or a reason without a difference.

const PAGE = "docs/parity.md";

async function main(): Promise<number> {
  const binaries = await buildCluster(console.log);
  const subject = await proxySubject(binaries);
  const switches = readSwitches(Object.keys(subject.areas));
  if (switches === undefined) return 2;
  const all = subject.inputs(switches).map((input, at) => [at + 1, input] as const);
  const inputs = all.filter(([number]) => switches.case === undefined || number === switches.case);
  const reference = { name: "pilot-agent", command: [`${binaries}/${CLUSTER_FILES.pilotAgent}`] };
  const onResult = (result: Result): void => {
    for (const line of unexplained([result], switches.only)) console.log(line);
  };
  const results = await runInputs(subject, { reference, pilotboat: runtimes() }, inputs, onResult);
  if (switches.case !== undefined) for (const result of results) show(result);
  console.log(summary(results, subject, switches.only));
  const stale =
    switches.only === undefined && switches.case === undefined ? unusedReasons(results, subject.reasons) : [];
  for (const { name } of stale) console.log(`No input shows the difference "${name}" any more: remove its row`);
  if (stale.length > 0 || unexplained(results, switches.only).length > 0) return 1;
  if (switches.isUsual) {
    writeFileSync(PAGE, reportPage(results, subject, { istio: istioVersion(), ...switches }));
    console.log(`${PAGE} is written.`);
  }
  return 0;
}

function readSwitches(areas: readonly string[]): Switches | undefined {
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
