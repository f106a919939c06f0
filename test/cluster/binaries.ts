import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { systemCode } from "../../src/base/index.ts";
import { xdgFolder } from "../../src/host/index.ts";

const MODULE = resolve("test/cluster/go");
const ISTIO = "istio.io/istio";

/** What is built of the module and of its pins. */
const PACKAGES = [
  "./cmd/...",
  ...["pilot/cmd/pilot-discovery", "istioctl/cmd/istioctl", "pilot/cmd/pilot-agent"].map((path) => `${ISTIO}/${path}`),
];
/** Optimisations are off: a third less to compile, and the API server starts a few seconds later. */
const FLAGS = ["-trimpath", "-gcflags", "all=-N -l"];
/** What of Istio's module is copied, and its name beside the programs: its CRDs, and the bootstrap that pilot-agent fills in. */
const COPIED = {
  "manifests/charts/base/files/crd-all.gen.yaml": "istio-crds.yaml",
  "tools/packaging/common/envoy_bootstrap.json": "envoy-bootstrap.json",
} as const;

/** The files in the folder of the binaries. */
export const CLUSTER_FILES = {
  etcd: "etcd",
  apiserver: "kube-apiserver",
  node: "node",
  istiod: "pilot-discovery",
  istioctl: "istioctl",
  grpcPeer: "grpc-peer",
  pilotAgent: "pilot-agent",
  crds: "istio-crds.yaml",
  bootstrapTemplate: "envoy-bootstrap.json",
} as const;

/** The folder of the binaries, when they are built. */
export function cachedCluster(): string | undefined {
  const folder = clusterFolder();
  return existsSync(folder) ? folder : undefined;
}

/**
 * Builds what is missing and returns the folder. Needs Go and, the first time, a module proxy: 173 MB to download, seven
 * minutes of two idle cores, 4 GB in Go's own caches. The folder appears as a whole; of two builds at once one is kept.
 */
export async function buildCluster(note: (line: string) => void): Promise<string> {
  const folder = clusterFolder();
  if (existsSync(folder)) return folder;
  note(`Building etcd, kube-apiserver, istiod, istioctl and pilot-agent into ${folder}: minutes the first time`);
  const startedMs = performance.now();
  await mkdir(cacheRoot(), { recursive: true });
  await removeAbandoned();
  const staged = await mkdtemp(join(cacheRoot(), STAGED));
  try {
    await go("build", ...FLAGS, "-o", `${staged}/`, "-ldflags", linkerFlags(), ...PACKAGES);
    const istio = (await go("list", "-m", "-f", "{{.Dir}}", ISTIO)).trim();
    for (const [from, to] of Object.entries(COPIED)) await copyFile(join(istio, from), join(staged, to));
    await rename(staged, folder).catch((error: unknown) => {
      if (systemCode(error) !== "ENOTEMPTY" && systemCode(error) !== "EEXIST") throw error; // somebody else was first
    });
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
  note(`Built in ${Math.round((performance.now() - startedMs) / 1_000)} s`);
  return folder;
}

/** What builds left that were killed. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(cacheRoot())) {
    const path = join(cacheRoot(), name);
    const found = name.startsWith(STAGED) ? await stat(path).catch(() => undefined) : undefined; // another may end now
    if (found !== undefined && Date.now() - found.mtimeMs > ABANDONED_MS)
      await rm(path, { recursive: true, force: true });
  }
}

const STAGED = "build-";
/** No build takes that long. */
const ABANDONED_MS = 4 * 60 * 60 * 1_000;

function cacheRoot(): string {
  return join(xdgFolder(process.env, "XDG_CACHE_HOME", ".cache"), "pilotboat", "cluster");
}

/** Named after everything that makes a difference. */
function clusterFolder(): string {
  const hash = createHash("sha256").update(JSON.stringify([process.platform, process.arch, PACKAGES, FLAGS, COPIED]));
  for (const file of sources()) hash.update(`\0${file}\0`).update(readFileSync(join(MODULE, file)));
  return join(cacheRoot(), hash.digest("hex").slice(0, 16));
}

/** The version of Istio's module that is built. */
export function istioVersion(): string {
  return /^\s*istio\.io\/istio (\S+)$/m.exec(readFileSync(join(MODULE, "go.mod"), "utf8"))?.[1] ?? "unknown";
}

function sources(): string[] {
  return readdirSync(MODULE, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.go$|^go\.(mod|sum)$/.test(file))
    .sort();
}

/** The API server has to know its version, or clients cannot read it. */
function linkerFlags(): string {
  const [, version = "", minor = ""] =
    /^\s*k8s\.io\/kubernetes (v1\.(\d+)\.\d+)$/m.exec(readFileSync(join(MODULE, "go.mod"), "utf8")) ?? [];
  const at = "k8s.io/component-base/version";
  return `-s -w -X ${at}.gitVersion=${version} -X ${at}.gitMajor=1 -X ${at}.gitMinor=${minor}`;
}

async function go(...words: readonly string[]): Promise<string> {
  const parallel = String(Math.max(1, availableParallelism()));
  const env = { ...process.env, GOGC: "off", GOMAXPROCS: parallel }; // the compiler's memory stays below 3 GB
  try {
    const { stdout } = await promisify(execFile)("go", words, { cwd: MODULE, env, maxBuffer: 64 * 2 ** 20 });
    return stdout;
  } catch (error) {
    if (systemCode(error) === "ENOENT") {
      throw new Error("The test cluster cannot be built: there is no Go. CONTRIBUTING.md says what is needed", {
        cause: error,
      });
    }
    throw error;
  }
}
