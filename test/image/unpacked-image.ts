import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, statSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { execPath } from "node:process";
import { promisify } from "node:util";
import { findDebianProgram } from "../support/debian-program.ts";
import { NODE_ADDRESS } from "./pod-network.ts";

const run = promisify(execFile);

export type Variant = "distroless" | "debug";

/** The layout of a variant, built unless it is newer than the executable in it. */
export async function builtImage(variant: Variant = "distroless"): Promise<string> {
  const layout = `dist/image/${variant}`;
  const index = join(layout, "index.json");
  if (!existsSync(index) || statSync(index).mtimeMs < statSync("dist/pilotboat").mtimeMs) {
    await run(execPath, ["scripts/build-image.mjs", variant], { timeout: 300_000 });
  }
  return layout;
}

export interface Unpacked extends AsyncDisposable {
  readonly root: string;
  /** What a container runtime starts, as umoci reads the image's configuration. */
  readonly process: {
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly user: { readonly uid: number; readonly gid: number };
  };
}

/** The root file system of a layout, unpacked by umoci into a folder of its own, with what a container runtime adds. */
export async function unpackImage(layout: string): Promise<Unpacked> {
  const folder = mkdtempSync(join(tmpdir(), "pb-image-"));
  const bundle = join(folder, "bundle");
  const umoci = await findDebianProgram("umoci");
  if (umoci === undefined) throw new Error("umoci unpacks the image, and apt cannot download it");
  await run(umoci.file, ["unpack", "--image", `${layout}:${basename(layout)}`, bundle], { timeout: 120_000 });
  const root = join(bundle, "rootfs");
  const hosts = `127.0.0.1 localhost\n${NODE_ADDRESS} istiod.istio-system.svc\n`;
  await writeFile(join(root, "etc/hosts"), hosts);
  await writeFile(join(root, "etc/resolv.conf"), "nameserver 127.0.0.1\n");
  for (const place of MOUNT_POINTS) await mkdir(join(root, place), { recursive: true });
  const { process } = JSON.parse(await readFile(join(bundle, "config.json"), "utf8")) as Pick<Unpacked, "process">;
  return { root, process, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** Of volumes that the image has no folder for; a container runtime makes them. */
const MOUNT_POINTS = ["etc/istio/pod", "run/secrets/istio/crl", "run/secrets/tokens"];
