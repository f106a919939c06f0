import { execFile, execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execPath } from "node:process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import manifest from "../../package.json" with { type: "json" };

// The package is installed by the real dpkg on a copy of this machine that only writes to itself.

const run = promisify(execFile);
const DEB = resolve(`dist/pilotboat_${manifest.version}_${process.arch === "arm64" ? "arm64" : "amd64"}.deb`);
const canOverlay = process.getuid?.() === 0 && existsSync("/usr/bin/dpkg") && overlays();

function overlays(): boolean {
  const script =
    "mount -t tmpfs tmpfs /mnt; cd /mnt; mkdir u w m; mount -t overlay overlay -o lowerdir=/,upperdir=u,workdir=w m";
  try {
    execFileSync("unshare", ["--mount", "sh", "-ec", script]);
    return true;
  } catch {
    console.log("No tests of the Debian package: this kernel gives no overlay on the root file system");
    return false;
  }
}

describe.runIf(canOverlay)("the Debian package", { timeout: 300_000 }, () => {
  let folder: string;
  beforeAll(async () => {
    if (!existsSync(DEB) || statSync(DEB).mtimeMs < statSync("dist/pilotboat").mtimeMs) {
      await run(execPath, ["scripts/build-deb.mjs"], { timeout: 300_000 });
    }
    folder = await mkdtemp(join(tmpdir(), "pb-deb-"));
    for (const name of ["upper", "work", "root"]) await mkdir(join(folder, name));
    await inside(`dpkg -i ${DEB}`);
  }, 600_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Prints what the script prints, on the copy. */
  async function inside(script: string): Promise<string> {
    const layers = `lowerdir=/,upperdir=${folder}/upper,workdir=${folder}/work`;
    const enter = `mount -t overlay overlay -o ${layers} ${folder}/root && mount -t proc proc ${folder}/root/proc`;
    const words = ["--mount", "sh", "-ec", `${enter} && exec chroot ${folder}/root sh -ec "$1"`, "sh", script];
    return (await run("unshare", words, { timeout: 120_000 })).stdout;
  }

  test("makes the proxy's user, whose folders are its own, and starts nothing", async () => {
    expect(await inside("id istio-proxy")).toBe(
      "uid=1337(istio-proxy) gid=1337(istio-proxy) groups=1337(istio-proxy)\n",
    );
    const owners = await inside("stat -c '%U %n' /etc/certs /etc/istio/proxy /var/lib/istio/data");
    expect(owners).toBe("istio-proxy /etc/certs\nistio-proxy /etc/istio/proxy\nistio-proxy /var/lib/istio/data\n");
    expect(await inside("ls /etc/systemd/system/multi-user.target.wants")).not.toContain("pilotboat");
  });

  test("the programs run as that user", async () => {
    const versions = await inside(
      "setpriv --reuid 1337 --regid 1337 --clear-groups sh -c 'pilotboat version --short; /usr/lib/pilotboat/envoy --version'",
    );
    expect(versions).toContain(manifest.version);
    expect(versions).toMatch(/envoy {2}version: /);
  });

  test("systemd finds no fault in the units", async (context) => {
    if (!existsSync("/usr/bin/systemd-analyze")) return context.skip("needs systemd-analyze");
    const units = "/lib/systemd/system/pilotboat.service /lib/systemd/system/pilotboat-redirect.service";
    expect(await inside(`systemd-analyze verify ${units} 2>&1`)).toBe("");
  });

  test("installed again it keeps the variables that somebody wrote; purged it leaves nothing of its own", async () => {
    await inside(
      `echo MINE=1 >>/var/lib/istio/envoy/sidecar.env && dpkg -i ${DEB} && grep -q MINE=1 /var/lib/istio/envoy/sidecar.env`,
    );
    await inside("dpkg -r pilotboat && ls /var/lib/istio/envoy/sidecar.env && ! ls /usr/bin/pilotboat");
    await inside("dpkg -P pilotboat && ! ls /var/lib/istio/envoy/sidecar.env");
  });
});
