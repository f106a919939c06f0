import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Prometheus' own checker, of PATH. */
function findPromtool(): string | undefined {
  const places = [
    process.env.PROMTOOL,
    ...(process.env.PATH ?? "").split(delimiter).map((one) => join(one, "promtool")),
  ];
  const found = places.find((path) => {
    try {
      accessSync(path ?? "", constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined)
    console.log(
      "No promtool here: tests that want it do not run (Debian's package prometheus has it, PROMTOOL names one)",
    );
  return found;
}

const promtool = findPromtool();

export const hasPromtool = promtool !== undefined;

/** Its exit code where it reads the text and dislikes names or missing help. */
export const LINT_ONLY = 3;

/** What `promtool check metrics` says of a text; any code but 0 and LINT_ONLY: it cannot read it. */
export async function checkMetrics(
  text: string,
): Promise<{ readonly code: number | null; readonly complaints: readonly string[] }> {
  const child = spawn(promtool ?? "", ["check", "metrics"], { stdio: ["pipe", "pipe", "pipe"] });
  const pieces: Buffer[] = [];
  for (const out of [child.stdout, child.stderr]) out.on("data", (piece: Buffer) => void pieces.push(piece));
  child.stdin.end(text);
  const [code] = await once(child, "close");
  const said = Buffer.concat(pieces).toString().trim();
  return { code, complaints: said === "" ? [] : said.split("\n") };
}
