import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run, runtimes, start } from "../support/pilotboat.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-plane-cli-"));
  await writeFile(join(folder, "mesh.yaml"), "clusters: [{ name: '${WORD:-none}.${TRUST_DOMAIN}.${NAMESPACE}' }]\n");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe.each(runtimes())("pilotboat control-plane on $name", (runtime) => {
  const args = (...more: readonly string[]) => ["control-plane", "--dir", folder, "--port", "0", ...more];

  test("writes a token without a newline and the root, for the owner alone, and keeps the root in its folder", async () => {
    const credentials = async () => {
      await using plane = start(runtime, args("--ca-dir", "ca", "--write-credentials", "run"), { cwd: folder });
      await plane.waitFor(/credentials {4}/);
      plane.kill("SIGTERM");
      expect((await plane.ended).code).toBe(0);
      const paths = ["tokens/istio-token", "istio/root-cert.pem"].map((file) =>
        join(folder, "run/var/run/secrets", file),
      );
      for (const path of paths) expect((await stat(path)).mode & 0o777).toBe(0o600);
      const [token = "", root = ""] = await Promise.all(paths.map((path) => readFile(path, "utf8")));
      return { token, root };
    };
    const first = await credentials();
    expect(first.token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    const claims = JSON.parse(Buffer.from(first.token.split(".")[1] ?? "", "base64url").toString());
    expect(claims).toMatchObject({ sub: "system:serviceaccount:default:quickstart", aud: ["istio-ca"] });
    expect(first.root).toContain("BEGIN CERTIFICATE");
    expect((await credentials()).root).toBe(first.root);
  });

  test.each([
    ["a value without a name", ["--set", "x"], 'Cannot use --set "x", wanted NAME=value'],
    ["a port that is none", ["--port", "70000"], 'Cannot use --port "70000", wanted 0 to 65535'],
    ["a CA folder with half of it", ["--ca-dir", "half"], "incomplete signing CA bundle"],
  ])("%s is refused with exit code 2", async (_name, more, expected) => {
    await mkdir(join(folder, "half"));
    await writeFile(join(folder, "half/ca-cert.pem"), "");
    const { code, stderr } = await run(runtime, args(...more), { cwd: folder });
    expect(stderr).toContain(expected);
    expect(code).toBe(2);
  });
});
