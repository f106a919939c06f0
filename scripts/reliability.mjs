// Runs the fault table (test/faults/) and writes docs/reliability.md from what its tests saw: `npm run reliability`.
// The product is that of dist/ (npm run build), or the one that PILOTBOAT_COMMAND names.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";

const PAGE = "docs/reliability.md";
const REPORT = "dist/reliability.json";
const GROUPS = { envoy: "Envoy", agent: "The agent", output: "Logs, disk and terminal", leaks: "In the long run" };

rmSync(REPORT, { force: true });
const words = ["vitest", "run", "test/faults", "--reporter=default", "--reporter=json", `--outputFile.json=${REPORT}`];
const { status } = spawnSync("npx", words, { stdio: "inherit" });
const { testResults } = JSON.parse(readFileSync(REPORT, "utf8"));
if (status !== 0) {
  console.error(`A fault is not met as the table says; ${PAGE} stays as it was.`);
  process.exit(1);
}
writeFileSync(PAGE, page(testResults));
console.log(`${PAGE} is written.`);

function page(files) {
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}`;
  const { default: envoy } = JSON.parse(readFileSync("envoy.lock.json", "utf8"));
  return [
    "# Reliability",
    "",
    "What goes wrong, what the agent does about it, and what requests meet meanwhile. Each row is a test of the same name",
    "in `test/faults/`; `npm run reliability` runs them and writes this page. The exit code is the agent's, where it lives",
    "on that after a SIGTERM later; a name is the signal that it died of. Nothing may stay behind: after each test no",
    "process, socket or file of the proxy is left.",
    "",
    `Seen on ${machine}, Node ${process.version.slice(1)}, Envoy ${envoy}.`,
    ...Object.entries(GROUPS).flatMap(([name, title]) => ["", `## ${title}`, "", ...table(files, name)]),
    "",
  ].join("\n");
}

function table(files, name) {
  const file = files.find((one) => one.name.endsWith(`/${name}.test.ts`));
  const rows = file.assertionResults.map(({ title, meta: { fault } }) => [
    upperFirst(title),
    fault.agent,
    fault.traffic,
    fault.exit === "none" ? "–" : String(fault.exit),
    fault.seen,
  ]);
  return [["fault", "the agent", "requests", "exit code", "seen"], Array(5).fill("---"), ...rows].map(
    (cells) => `| ${cells.join(" | ")} |`,
  );
}

function upperFirst(text) {
  return text[0].toUpperCase() + text.slice(1);
}
