import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { lstat, mkdtemp, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
// @ts-expect-error a plain script without types
import { FILES, LINKS } from "../../scripts/image/contents.mjs";
import { findDebianProgram } from "../support/debian-program.ts";
import { findDockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { builtImage, type Unpacked, unpackImage } from "./unpacked-image.ts";

const run = promisify(execFile);

describe.runIf(process.getuid?.() === 0)("the image that npm run build:image makes", { timeout: 300_000 }, () => {
  let layout: string;
  let image: Unpacked;
  beforeAll(async () => {
    layout = await builtImage();
    image = await unpackImage(layout);
  }, 600_000);
  afterAll(() => image?.[Symbol.asyncDispose]());

  test("starts the agent as uid 1337 in /, by the name that pods call", async () => {
    expect(image.process).toMatchObject({
      args: ["/usr/local/bin/pilot-agent"],
      cwd: "/",
      user: { uid: 1337, gid: 1337 },
    });
    expect(image.process.env).toContain("PILOTBOAT_STOCK_ENVOY=adapt");
    expect(image.process.env.join("\n")).toMatch(/^ISTIO_META_ISTIO_PROXY_SHA=envoy:\d+\.\d+\.\d+$/m);
  });

  test("has the project's files, the links, and no shell", async () => {
    for (const { from, to, mode } of FILES) {
      expect((await lstat(join(image.root, to))).mode & 0o777).toBe(mode);
      expect((await readFile(join(image.root, to))).equals(await readFile(from))).toBe(true);
    }
    for (const { at, to } of LINKS) expect(await readlink(join(image.root, at))).toBe(to);
    for (const shell of ["sh", "bash", "dash"]) expect(existsSync(join(image.root, "usr/bin", shell))).toBe(false);
  });

  test.each([
    ["envoy --version", /version: [0-9a-f]{40}\/\d+\.\d+\.\d+/],
    ["iptables --version", /^iptables v\d.* \(nf_tables\)/],
    ["ip6tables-restore --version", /\(nf_tables\)/],
    ["iptables-legacy --version", /\(legacy\)/],
    ["nft --version", /^nftables v/],
    ["ip addr show lo", /LOOPBACK/],
  ])("%s runs in it without anything of this machine", (line, expected) => {
    const env = { PATH: "/usr/local/bin:/usr/sbin:/usr/bin" };
    expect(execFileSync("chroot", [image.root, ...line.split(" ")], { encoding: "utf8", env })).toMatch(expected);
  });

  test("a real registry takes it and gives it back", async (context) => {
    const skopeo = await findDebianProgram("skopeo", ["libgpgme11", "libassuan0", "libdevmapper1.02.1"]);
    if (skopeo === undefined || (await findDockerRegistry()) === undefined) return context.skip("needs Debian's apt");
    const copy = async (from: string, to: string, plain: string) => {
      const words = ["copy", "--insecure-policy", `--${plain}-tls-verify=false`, from, to];
      await run(skopeo.file, words, { env: { ...process.env, ...skopeo.env } });
    };
    const folder = await mkdtemp(join(tmpdir(), "pb-push-"));
    await using registry = await startDockerRegistry();
    const at = `docker://${registry.address}/proxy:v1`;
    await copy(`oci:${layout}:distroless`, at, "dest");
    await copy(at, `oci:${folder}:distroless`, "src");
    const digest = async (of: string) => JSON.parse(await readFile(join(of, "index.json"), "utf8")).manifests[0].digest;
    expect(await digest(folder)).toBe(await digest(layout));
    await rm(folder, { recursive: true, force: true });
  });
});
