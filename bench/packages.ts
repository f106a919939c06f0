// What a package would cost instead of our own code: bytes in the bundle, and processor time of a program that loads it and
// does a first piece of work, on Node and in an executable. Not the time on the clock, which a busy machine multiplies.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { makeZip } from "../test/support/make-zip.ts";
import { describeMachine, printTable, saveResults } from "./support/report.ts";

/** Fetched for the benchmark only; `@peculiar/x509` is here already. */
const PACKAGES = ["pino@9.14.0", "prom-client@15.1.3", "execa@9.6.1", "yauzl@3.4.0"];
const OWN = resolve("src");
const RUNS = Number(process.env.BENCH_RUNS ?? 15);

interface Candidate {
  readonly name: string;
  /** Imports, and the body of an asynchronous function that prints a line. */
  readonly imports: string;
  readonly work: string;
}

const CANDIDATES: readonly Candidate[] = [
  { name: "nothing", imports: "", work: 'console.log("done");' },
  {
    name: "log: own",
    imports: `import { createLogger } from "${OWN}/base/log.ts";`,
    work: 'createLogger({ write: (line) => process.stdout.write(line) }).info("started", { port: 15020 });',
  },
  {
    name: "log: pino, text by a destination",
    imports: 'import { pino } from "pino";',
    work: `const text = (line) => {
      const { level, time, msg, pid, hostname, ...fields } = JSON.parse(line);
      const rest = Object.entries(fields).map(([name, value]) => name + "=" + value).join(" ");
      process.stdout.write([new Date(time).toISOString(), level === 30 ? "info" : level, msg, rest].join("\\t") + "\\n");
    };
    pino({ base: null }, { write: text }).info({ port: 15020 }, "started");`,
  },
  {
    name: "metrics: own",
    imports: `import { counter, createMetrics } from "${OWN}/base/metrics.ts";`,
    work: 'const m = createMetrics("a_"); m.count(counter("b", "help"), { kind: "c" }); process.stdout.write(m.render());',
  },
  {
    name: "metrics: prom-client",
    imports: 'import { Counter, Registry } from "prom-client";',
    work: `const registry = new Registry();
    const counted = new Counter({ name: "a_b", help: "help", labelNames: ["kind"], registers: [registry] });
    counted.inc({ kind: "c" });
    process.stdout.write(await registry.metrics());`,
  },
  {
    name: "child: node:child_process",
    imports: 'import { execFile } from "node:child_process"; import { promisify } from "node:util";',
    work: 'console.log((await promisify(execFile)("echo", ["done"], { timeout: 5000 })).stdout);',
  },
  {
    name: "child: execa",
    imports: 'import { execa } from "execa";',
    work: 'console.log((await execa("echo", ["done"], { timeout: 5000 })).stdout);',
  },
  {
    name: "x509: own",
    imports: `import { createRoot } from "${OWN}/control-plane/ca/authority.ts";`,
    work: 'createRoot("cluster.local"); console.log("done");',
  },
  {
    name: "x509: @peculiar/x509",
    imports: 'import "reflect-metadata"; import { X509CertificateGenerator, cryptoProvider } from "@peculiar/x509";',
    work: `cryptoProvider.set(globalThis.crypto);
    const alg = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const keys = await globalThis.crypto.subtle.generateKey(alg, true, ["sign", "verify"]);
    await X509CertificateGenerator.createSelfSigned({ name: "O=cluster.local", keys, signingAlgorithm: alg });
    console.log("done");`,
  },
  {
    name: "zip: own",
    imports: `import { extractZipEntry } from "${OWN}/envoy/binary/zip.ts";`,
    work: `const target = process.argv[2] + ".out" + process.pid;
    await extractZipEntry({ archive: process.argv[2], name: "envoy", target, stop: new AbortController().signal });
    console.log("done");`,
  },
  {
    name: "zip: yauzl",
    imports: `import { createWriteStream } from "node:fs"; import { pipeline } from "node:stream/promises";
import { promisify } from "node:util"; import yauzl from "yauzl";`,
    work: `const zip = await promisify(yauzl.open)(process.argv[2], { lazyEntries: true });
    const entry = await new Promise((done, fail) => { zip.on("error", fail).on("entry", done); zip.readEntry(); });
    const from = await promisify(zip.openReadStream.bind(zip))(entry);
    await pipeline(from, createWriteStream(process.argv[2] + ".out" + process.pid, { flags: "wx" }));
    console.log("done");`,
  },
];

interface Built extends Candidate {
  readonly bytes: number;
  readonly forms: readonly (readonly string[])[];
}

/** Both as the product is built. */
async function bundle(candidate: Candidate, at: number, folder: string): Promise<Built> {
  const entry = join(folder, `${at}.ts`);
  const work = `(async () => {\n${candidate.work}\n})().catch((error) => { console.error(error); process.exit(1); });
process.once("exit", () => require("node:fs").writeSync(2, JSON.stringify(process.cpuUsage())));`;
  writeFileSync(entry, `// @ts-nocheck\n${candidate.imports}\n${work}\n`);
  const nodePaths = [resolve("node_modules")];
  const common = { bundle: true, platform: "node", target: "node20", nodePaths, metafile: true } as const;
  const script = join(folder, `${at}.cjs`);
  const { metafile } = await build({ ...common, entryPoints: [entry], outfile: script, format: "cjs", minify: true });
  const executable = join(folder, `${at}.bin`);
  const words = ["build", "--compile", "--bytecode", "--format=cjs", "--minify", script, "--outfile", executable];
  execFileSync("node_modules/.bin/bun", words, { stdio: ["ignore", "ignore", "inherit"] });
  const bytes = Object.values(metafile.outputs)[0]?.bytes ?? 0;
  return { ...candidate, bytes, forms: [[process.execPath, script], [executable]] };
}

/** Milliseconds that the process was on a core, its own children left out. */
function cpuMs([file = "", ...args]: readonly string[], zip: string): number {
  const { status, stderr } = spawnSync(file, [...args, zip], { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
  if (status !== 0) throw new Error(`${file} ended with ${status}: ${stderr}`);
  const { user, system } = JSON.parse(stderr) as NodeJS.CpuUsage;
  return (user + system) / 1_000;
}

const folder = mkdtempSync(join(tmpdir(), "pb-packages-"));
try {
  mkdirSync(join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), "{}");
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...PACKAGES], { cwd: folder });
  symlinkSync(resolve("node_modules/@peculiar"), join(folder, "node_modules/@peculiar"));
  const zip = join(folder, "envoy.zip");
  writeFileSync(zip, makeZip([{ name: "envoy", content: Buffer.alloc(1_000_000, "envoy") }]));
  const built: Built[] = [];
  for (const [at, candidate] of CANDIDATES.entries()) built.push(await bundle(candidate, at, folder));
  const best = built.map(({ forms }) => forms.map(() => Number.POSITIVE_INFINITY));
  for (let run = 0; run < RUNS; run++) {
    for (const [at, { forms }] of built.entries()) {
      for (const [form, words] of forms.entries()) {
        const row = best[at] as number[];
        row[form] = Math.min(row[form] ?? Number.POSITIVE_INFINITY, cpuMs(words, zip));
      }
    }
  }
  const [floor = []] = best;
  const rows = built.map(({ name, bytes }, at) => ({
    name,
    bundledKb: Math.round(bytes / 100) / 10,
    ...{ nodeMs: best[at]?.[0] ?? 0, executableMs: best[at]?.[1] ?? 0 },
    ...{ nodeMoreMs: (best[at]?.[0] ?? 0) - (floor[0] ?? 0), executableMoreMs: (best[at]?.[1] ?? 0) - (floor[1] ?? 0) },
  }));
  console.log(
    `${describeMachine()}, Node ${process.version}; best of ${RUNS} runs, and what that is more than nothing\n`,
  );
  printTable([
    ["", "bundled KB", "Node CPU ms", "more", "executable CPU ms", "more"],
    ...rows.map((row) => [
      row.name,
      row.bundledKb.toFixed(1),
      ...[row.nodeMs, row.nodeMoreMs, row.executableMs, row.executableMoreMs].map((ms) => ms.toFixed(1)),
    ]),
  ]);
  saveResults("packages", rows);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
