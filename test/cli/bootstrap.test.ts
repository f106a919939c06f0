import { lstat, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runCli } from "../../src/cli/index.ts";

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "pb-bootstrap-cli-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

async function pilotboat(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const never = new AbortController().signal;
  const [stdout, stderr] = [collect(), collect()];
  const host = {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "web", ...env },
    cwd,
    stdout: stdout.stream,
    stderr: stderr.stream,
    signals: { stop: never, hurry: never, force: never },
  };
  const code = await runCli(args, host);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function collect() {
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { stream, text: () => text };
}

/** As a crash leaves it: closing removes the name that the socket was bound to, not the one that it has now. */
async function leaveDeadSocket(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const server = createServer();
  await new Promise<void>((done) => server.listen(`${path}.first`, done));
  await rename(`${path}.first`, path);
  await new Promise((done) => server.close(done));
}

test("looking changes nothing: files at the places of sockets stay", async () => {
  const credentials = join(cwd, "var/run/secrets/credential-uds/socket");
  const workload = join(cwd, "var/run/secrets/workload-spiffe-uds/socket");
  await leaveDeadSocket(credentials);
  await mkdir(dirname(workload), { recursive: true });
  await writeFile(workload, "mine");
  for (const args of [["bootstrap", "render"], ["config"], ["config", "node"]]) {
    expect(await pilotboat(args)).toMatchObject({ code: 0 });
  }
  expect((await lstat(credentials)).isSocket()).toBe(true);
  expect(await readFile(workload, "utf8")).toBe("mine");
});

test("a customConfigFile is what Envoy gets: no template is looked at", async () => {
  const own = "node: {id: mine}\n";
  await writeFile(join(cwd, "own.yaml"), own);
  await writeFile(join(cwd, "broken.json"), "{{ nosuch }}");
  const env = { PROXY_CONFIG: "customConfigFile: own.yaml", ISTIO_BOOTSTRAP: "broken.json" };
  expect(await pilotboat(["bootstrap", "render"], env)).toMatchObject({ code: 0, stdout: own });
  const gone = await pilotboat(["bootstrap", "render"], { PROXY_CONFIG: "customConfigFile: gone.json" });
  expect(gone).toMatchObject({ code: 1, stdout: "" });
  expect(gone.stderr).toContain('Cannot read customConfigFile "gone.json"');
});

test("a discovery address from an annotation that cannot be split ends the rendering", async () => {
  await mkdir(join(cwd, "etc/istio/pod"), { recursive: true });
  await writeFile(join(cwd, "etc/istio/pod/annotations"), 'sidecar.istio.io/discoveryAddress="nohost"\n');
  const { code, stdout, stderr } = await pilotboat(["bootstrap", "render"]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(
    'unable to parse pilot_grpc_address address "nohost": address nohost: missing port in address',
  );
});
