import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TARGETS } from "./targets.ts";

// One CPU minute for each:  FUZZ_SECONDS=60 npx vitest run test/security/fuzz
// A failure prints its number and input; that input first:  FUZZ_SEED=<number> npx vitest run test/security/fuzz -t <name>
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 1);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
/** Twenty times what an input may cost in processor time: the machine may be busy. */
const SILENCE_MS = 160_000;
/** Of the whole process; the runtime and the descriptors of Envoy's types are half of it. */
const MOST_MEGABYTES = 700;
/** Bun collects by how much memory the machine has, and would let some 1.6 GB of garbage be where there is plenty. */
const SMALL_MACHINE = { BUN_JSC_forceRAMSize: String(512 * 2 ** 20) };

let folder: string;
let program: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pb-fuzz-"));
  program = join(folder, "run.mjs");
  await build({
    entryPoints: ["test/security/fuzz/run.ts"],
    outfile: program,
    ...{ bundle: true, format: "esm", platform: "node", target: "node20", loader: { ".yaml": "text" } },
    external: ["@grpc/proto-loader", "bun:ffi"],
    banner: { js: 'import { createRequire as r } from "node:module"; const require = r(import.meta.url);' },
    logLevel: "error",
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const RUNTIMES = { "Node 20": process.execPath, Bun: "node_modules/.bin/bun" };

describe.each(Object.entries(RUNTIMES))("on %s", (runtime, command) => {
  test.each(Object.keys(TARGETS))(
    "hostile fuzz: %s from strangers neither crashes, nor hangs, nor fills the memory",
    async (name) => {
      const note = join(folder, `${name}-${runtime}`);
      const env = { ...process.env, ...SMALL_MACHINE };
      const child = spawn(command, [program, name, String(SECONDS), String(SEED), note], { env });
      const said = await watched(child, note);
      const figures = JSON.parse(said) as { readonly tried: number; readonly megabytes: number };
      console.log(`${runtime}, ${name}: ${said}`);
      expect(figures.tried).toBeGreaterThan(10);
      expect(figures.megabytes).toBeLessThan(MOST_MEGABYTES);
    },
    SECONDS * 20_000 + 2 * SILENCE_MS,
  );
});

/** The last line that the program printed. Throws with the number of the input when it died, failed or fell silent. */
async function watched(child: ChildProcessWithoutNullStreams, note: string): Promise<string> {
  let [out, err, isSilent] = ["", "", false];
  const silence = setTimeout(() => {
    isSilent = true;
    child.kill("SIGKILL");
  }, SILENCE_MS);
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    silence.refresh();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  clearTimeout(silence);
  if (code === 0) return out.trim().split("\n").at(-1) ?? "";
  const number = readFileSync(note, "utf8").trim();
  const how = isSilent ? `said nothing for ${SILENCE_MS / 1_000} s` : `ended with ${code ?? signal}`;
  throw new Error(`FUZZ_SEED=${number}: the program ${how}\n${err.slice(0, 10_000)}`);
}
