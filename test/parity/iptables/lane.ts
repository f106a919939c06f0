import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Runtime } from "../../support/pilotboat.ts";
import type { Lane, Seen } from "../subject.ts";
import type { IptablesInput } from "./input.ts";
import { observe } from "./observe.ts";

const ROOM = resolve("test/parity/iptables/room.sh");
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** No input takes longer than some seconds on a busy machine. */
const LIMIT_MS = 120_000;

/** A folder for one program after another, each in network and mount namespaces of its own. */
export async function openLane(): Promise<Lane<IptablesInput>> {
  const folder = await mkdtemp(join(tmpdir(), "pilotboat-parity-iptables-"));
  return {
    observe: (program, input) => run(folder, program, input),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function run(folder: string, program: Runtime, input: IptablesInput): Promise<Seen> {
  const { addresses = ["10.3.3.3/24"], servers = ["10.96.0.10"], users = {}, isReal = false } = input;
  const place = (name: string): string => join(folder, name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(place("resolv.conf"), servers.map((server) => `nameserver ${server}\n`).join(""));
  const people = Object.entries(users).map(([name, uid]) => `${name}:x:${uid}:${uid}::/:/bin/false\n`);
  await writeFile(place("passwd"), `root:x:0:0:root:/root:/bin/sh\n${people.join("")}`);
  await writeFile(place("steps.sh"), stepsOf(folder, program, input));
  if (isReal) await writeFile(place("kernel"), "");
  const namespaces = ["--net", "--mount", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"])];
  const output = await new Promise<string>((done, fail) => {
    const args = [...namespaces, "sh", ROOM, folder, addresses.join(",")];
    execFile("unshare", args, { timeout: LIMIT_MS, maxBuffer: 2 ** 24 }, (error, stdout, stderr) =>
      error === null ? done(stdout) : fail(new Error(`${error.message}\n${stdout}${stderr}`)),
    );
  });
  const read = (name: string): Promise<string> => readFile(place(name), "utf8");
  const [stdout, stderr, codes] = await Promise.all([read("stdout"), read("stderr"), read("codes")]);
  const left = {
    ...{ stdout, stderr, codes: codes.trim().split("\n").map(Number) },
    file: existsSync(place("dry-run")) ? await read("dry-run") : undefined,
    kernel: isReal ? await read("kernel") : undefined,
  };
  return { observation: observe(left), output: `${output}${stdout}${stderr}` };
}

function stepsOf(folder: string, program: Runtime, { calls, env = {} }: IptablesInput): string {
  const variables = { PATH, ...env, DRY_RUN_FILE_PATH: join(folder, "dry-run") };
  const words = ["env", "-i", ...Object.entries(variables).map(([name, value]) => `${name}=${value}`)];
  return calls
    .map((args) => {
      const command = [...words, ...program.command, "istio-iptables", ...args].map(quote).join(" ");
      return `${command} >>${folder}/stdout 2>>${folder}/stderr && code=0 || code=$?\necho $code >>${folder}/codes\n`;
    })
    .join("");
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
