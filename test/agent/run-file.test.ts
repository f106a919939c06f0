import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claimRunFolder } from "../../src/agent/run-folder/run-file.ts";
import { silentLogger } from "../../src/base/index.ts";
import { loadConfig } from "../../src/config/index.ts";
import { newBaseId } from "../../src/envoy/supervisor/hot-restart.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-claim-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const GONE = {
  ...{ pid: 2 ** 22 + 1, start: "long ago", uid: process.getuid?.() ?? 0, run: "the secret of that run" },
  ...{ binary: "/usr/local/bin/envoy", configFile: "envoy-rev.json" },
};

// only Linux has /dev/shm
test.skipIf(process.platform !== "linux")(
  "what killed Envoys of a hot restart shared is removed, and no more",
  async () => {
    const [left, others] = [newBaseId(), newBaseId()].map((id) => ({
      id,
      path: `/dev/shm/envoy_shared_memory_${id}0`,
    }));
    if (left === undefined || others === undefined) throw new Error("two were made");
    try {
      for (const { path } of [left, others]) await writeFile(path, Buffer.alloc(104));
      await mkdir(join(folder, "etc/istio/proxy"), { recursive: true });
      const odd = { ...GONE, baseId: `../../${others.id}` };
      const file = { pid: GONE.pid, start: "long ago", envoys: [{ ...GONE, baseId: left.id }, GONE, odd] };
      await writeFile(join(folder, "etc/istio/proxy/agent.json"), JSON.stringify(file));
      const { config } = await loadConfig({ args: [], env: {}, cwd: folder });
      await using _claimed = await claimRunFolder(config, silentLogger);
      expect(existsSync(left.path)).toBe(false);
      expect(existsSync(others.path)).toBe(true);
    } finally {
      for (const { path } of [left, others]) await rm(path, { force: true });
    }
  },
);

// only root can give a folder to another user
test.skipIf(process.getuid?.() !== 0)(
  "in a folder that is Envoy's user's, the run file is removed at the end",
  async () => {
    await chmod(folder, 0o711);
    const { config } = await loadConfig({ args: [], env: { DNS_PROXY_ADDR: "localhost:53" }, cwd: folder });
    const claimed = await claimRunFolder(config, silentLogger);
    const file = join(folder, "etc/istio/proxy/agent.json");
    expect(existsSync(file)).toBe(true);
    await claimed[Symbol.asyncDispose]();
    expect(existsSync(file)).toBe(false);
  },
);
