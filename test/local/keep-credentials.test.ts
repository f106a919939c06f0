import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createLogger } from "../../src/base/index.ts";
import { openCluster } from "../../src/kubernetes/index.ts";
import { credentialFiles, keepCredentials } from "../../src/local/cluster/index.ts";
import { startFakeKubeApi } from "../support/fake-kube-api.ts";
import { createMovableClock, type MovableClock } from "../support/movable-clock.ts";

const HOUR_MS = 3_600_000;

test("a token is renewed at half of its lifetime; when that fails the old one stays, and is replaced when it works again", async () => {
  await using api = await startFakeKubeApi();
  const folder = await mkdtemp(join(tmpdir(), "pb-keep-"));
  try {
    const kubeconfig = join(folder, "kubeconfig");
    await writeFile(kubeconfig, kubeconfigOf(api.port, api.ca.certPem));
    const host = { env: {}, cwd: folder, stderr: process.stderr };
    const cluster = await openCluster({ kubeconfig, host });
    const clock = createMovableClock(Date.now(), 1);
    const lines: string[] = [];
    const log = createLogger({ write: (line) => void lines.push(line) });
    const options = { cluster, namespace: "shop", serviceAccount: "cart", folder, log, clock };
    await using kept = await keepCredentials(options, new AbortController().signal);
    const { token: file } = credentialFiles(folder);
    const tokens = () => api.seen.filter(({ path }) => path.endsWith("/token")).length;
    const first = await inode(file);
    expect(tokens()).toBe(1);

    api.refuse(({ path }) => path.endsWith("/token"));
    await until(clock, () => kept.failure() !== undefined);
    expect(lines.join("")).toMatch(
      /warn\tCannot renew the credentials, the old ones stay\terror=.*does not know us.*tokenLeftSeconds=1[78]\d\d/,
    );
    expect(await inode(file)).toBe(first);
    await until(clock, () => lines.some((line) => line.includes("The token has expired, and there is no new one")));
    expect(await inode(file)).toBe(first);

    api.refuse(() => false);
    await until(clock, () => kept.failure() === undefined);
    expect(await inode(file)).not.toBe(first);
    expect(lines.join("")).toMatch(/info\tCredentials are renewed again\t.*failures=\d+/);
    expect(kept.current().expiresAtMs).toBeGreaterThan(clock.now());
    expect((await readFile(file, "utf8")).split(".")).toHaveLength(3);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/** Moves the clock until it is so, over four lifetimes at most. */
async function until(clock: MovableClock, isSo: () => boolean): Promise<void> {
  for (let movedMs = 0; !isSo(); movedMs += STEP_MS) {
    if (movedMs > 4 * HOUR_MS) throw new Error("it has not become so");
    await clock.advance(STEP_MS);
  }
}

const STEP_MS = 15_000;

async function inode(file: string): Promise<number> {
  return (await stat(file)).ino;
}

function kubeconfigOf(port: number, ca: string): string {
  const cluster = {
    server: `https://127.0.0.1:${port}`,
    "certificate-authority-data": Buffer.from(ca).toString("base64"),
  };
  return JSON.stringify({
    "current-context": "one",
    contexts: [{ name: "one", context: { cluster: "c", user: "u" } }],
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user: { token: "t" } }],
  });
}
