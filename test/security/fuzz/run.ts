// Fuzzes one parser on whatever runtime runs this file:  run.ts <target> <CPU seconds> <first number> <file>
// The number of the input that is being tried stands in the file, also when this process hangs or dies.
import { openSync, writeSync } from "node:fs";
import { inputOf } from "./mutate.ts";
import { makeTarget } from "./targets.ts";

/** More processor time than any input may cost. */
const SLOW_MS = 8_000;
const PROGRESS_MS = 500;

async function main([name = "", seconds = "1", first = "1", file = ""]: readonly string[]): Promise<void> {
  await using target = await makeTarget(name);
  const note = openSync(file, "w");
  const beginMs = cpuMs();
  const untilMs = beginMs + Number(seconds) * 1_000;
  let [tried, slowestMs, toldMs] = [0, 0, performance.now()];
  for (let nowMs = beginMs; nowMs < untilMs; tried++) {
    const number = Number(first) + tried;
    writeSync(note, String(number).padEnd(12), 0);
    const input = inputOf(target, number);
    const startMs = cpuMs();
    await attempt(() => target.attack(input), number, input);
    nowMs = cpuMs();
    slowestMs = Math.max(slowestMs, nowMs - startMs);
    if (nowMs - startMs > SLOW_MS) fail(number, input, `it took ${Math.round(nowMs - startMs)} ms of processor time`);
    if (performance.now() - toldMs > PROGRESS_MS) {
      console.log("alive");
      toldMs = performance.now();
    }
  }
  const megabytes = Math.round(process.resourceUsage().maxRSS / 1_024);
  console.log(
    JSON.stringify({ tried, cpuSeconds: round((cpuMs() - beginMs) / 1_000), slowestMs: round(slowestMs), megabytes }),
  );
}

async function attempt(attack: () => unknown, number: number, input: Buffer): Promise<void> {
  try {
    await attack();
  } catch (error) {
    fail(number, input, error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}

function fail(number: number, input: Buffer, what: string): never {
  const shown = input.toString("base64");
  console.error(`FUZZ_SEED=${number} breaks it: ${what}\ninput, base64: ${shown.slice(0, 4_000)}`);
  process.exit(1);
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

void main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
