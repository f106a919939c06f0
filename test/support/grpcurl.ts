import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { systemCode } from "../../src/base/index.ts";
import { xdgFolder } from "../../src/host/index.ts";

const MODULE = "github.com/fullstorydev/grpcurl/cmd/grpcurl";
const VERSION = "v1.9.3";

/**
 * The real grpcurl: of the cache, else built by Go with `npm run test:cluster`, in about two minutes. Undefined, with a line
 * that says so, where there is none.
 */
export async function findGrpcurl(): Promise<string | undefined> {
  const folder = join(xdgFolder(process.env, "XDG_CACHE_HOME", ".cache"), "pilotboat", "test-tools");
  const cached = join(folder, `grpcurl-${VERSION}`, "grpcurl");
  if (existsSync(cached)) return cached;
  if (process.env.PILOTBOAT_CLUSTER !== "build") {
    console.log(`No tests with the real grpcurl: "npm run test:cluster" builds ${MODULE}@${VERSION}`);
    return undefined;
  }
  await mkdir(folder, { recursive: true });
  const staged = await mkdtemp(join(folder, "staged-"));
  try {
    console.log(`Building ${MODULE}@${VERSION}`);
    const env = { ...process.env, GOBIN: staged };
    await promisify(execFile)("go", ["install", "-trimpath", `${MODULE}@${VERSION}`], { env, timeout: 900_000 });
    await rename(staged, join(folder, `grpcurl-${VERSION}`)).catch((error: unknown) => {
      if (systemCode(error) !== "ENOTEMPTY" && systemCode(error) !== "EEXIST") throw error; // somebody else was first
    });
    return cached;
  } catch (error) {
    console.log(`No tests with the real grpcurl: it cannot be built: ${String(error).split("\n")[0]}`);
    return undefined;
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}
