import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { systemCode } from "../../src/base/index.ts";
import { xdgFolder } from "../../src/host/index.ts";

const run = promisify(execFile);

export interface DebianProgram {
  readonly file: string;
  /** To be added to its environment: where the libraries are that came with it. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * The program that a Debian package is named after: of PATH, or of the cache, else downloaded by apt into that, with
 * `libraries`, which are packages. Undefined, with a line that says so, on a machine without apt.
 */
export async function findDebianProgram(
  name: string,
  libraries: readonly string[] = [],
): Promise<DebianProgram | undefined> {
  const onPath = (process.env.PATH ?? "").split(delimiter).map((one) => join(one, name));
  const installed = onPath.find((file) => existsSync(file));
  if (installed !== undefined) return { file: installed, env: {} };
  const folder = join(xdgFolder(process.env, "XDG_CACHE_HOME", ".cache"), "pilotboat", "test-tools");
  const cached: DebianProgram = {
    file: join(folder, name, "usr/bin", name),
    env: { LD_LIBRARY_PATH: LIBRARY_FOLDERS.map((one) => join(folder, name, one)).join(delimiter) },
  };
  if (existsSync(cached.file)) return cached;
  await mkdir(folder, { recursive: true });
  const staged = await mkdtemp(join(folder, "staged-"));
  try {
    await download([name, ...libraries], staged);
    await rename(join(staged, "files"), join(folder, name)).catch((error: unknown) => {
      if (systemCode(error) !== "ENOTEMPTY" && systemCode(error) !== "EEXIST") throw error; // somebody else was first
    });
    return cached;
  } catch (error) {
    console.log(`No tests with a real ${name}: apt cannot download it: ${String(error).split("\n")[0]}`);
    return undefined;
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

const TRIPLET = `${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
const LIBRARY_FOLDERS = [`usr/lib/${TRIPLET}`, `lib/${TRIPLET}`];

async function download(packages: readonly string[], folder: string): Promise<void> {
  console.log(`Downloading Debian's ${packages.join(", ")} for the tests`);
  const get = () => run("apt-get", ["-q", "download", ...packages], { cwd: folder, timeout: 120_000 });
  await get().catch(async () => {
    await run("apt-get", ["-q", "update"], { timeout: 300_000 }); // a fresh container has no lists
    await get();
  });
  const files = (await readdir(folder)).filter((name) => name.endsWith(".deb"));
  for (const file of files) await run("dpkg", ["-x", join(folder, file), join(folder, "files")]);
}
