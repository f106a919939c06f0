import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { choosePorts } from "../../src/agent/ports/choose-ports.ts";
import { bindTcp, bindUnix, silentLogger } from "../../src/base/index.ts";
import { type Host, startOf } from "../../src/host/index.ts";
import { startLocalMesh } from "../../src/local/index.ts";
import { sweepRunFolders } from "../../src/local/sweep-run-folders.ts";
import { writeProgram } from "../support/fake-pip.ts";
import { FULL_QUEUE, holdSocket } from "../support/other-socket.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const never = new AbortController().signal;

let folder: string;
let host: Host;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-mesh-"));
  host = {
    env: { PATH: process.env.PATH, HOME: folder },
    cwd: folder,
    stdout: process.stdout,
    stderr: process.stderr,
    signals: { stop: never, hurry: never, force: never },
  };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A real Envoy whose admin port somebody else takes just before its first starts, for as long as it lives. */
async function unluckyEnvoy(misfortunes: number): Promise<string> {
  const path = join(folder, "unlucky-envoy");
  const squatter = join(folder, "squatter.mjs");
  await writeFile(
    squatter,
    `import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
const { admin } = JSON.parse(readFileSync("etc/istio/proxy/envoy-rev.json", "utf8"));
const envoy = process.ppid;
createServer().listen(admin.address.socket_address.port_value, "127.0.0.1", () => {
  writeFileSync(process.argv[2], "");
  setInterval(() => process.ppid !== envoy && process.exit(), 10);
});
`,
  );
  const script = `n=$(cat "${folder}/starts" 2>/dev/null || echo 0)
echo $((n + 1)) > "${folder}/starts"
if [ "$n" -lt ${misfortunes} ]; then
  "${process.execPath}" "${squatter}" "${folder}/taken-$n" >/dev/null 2>&1 &
  while [ ! -e "${folder}/taken-$n" ]; do sleep 0.01; done
fi
exec "${await realEnvoy()}" "$@"`;
  await writeProgram(path, script);
  return path;
}

const startMesh = async (misfortunes: number, retries: string[], port?: number) =>
  startLocalMesh({
    ...{ host, log: silentLogger, envoy: await unluckyEnvoy(misfortunes) },
    ...(port === undefined ? {} : { port }),
    onStep: (_step, result) => void (result.includes("trying other ports") && retries.push(result)),
  });

test("an Envoy whose port was taken since it was chosen gets others", async () => {
  const retries: string[] = [];
  await using mesh = await startMesh(2, retries);
  await mesh.agent.ready;
  expect((await fetch(`http://127.0.0.1:${mesh.ports.outbound}/hello`)).status).toBe(200);
  expect(retries).toEqual(Array(2).fill(expect.stringMatching(/^port \d+ was taken meanwhile: trying other ports$/)));
});

test("after three tries its end says why", async () => {
  const retries: string[] = [];
  await using mesh = await startMesh(3, retries);
  expect(await mesh.agent.ended).toMatchObject({
    kind: "envoy",
    end: { message: expect.stringContaining("Address already in use") },
  });
  expect(retries).toHaveLength(2);
});

test("a wanted port that is taken is told at once, with the flag", async () => {
  await using taken = await bindTcp("127.0.0.1", 0);
  await expect(startMesh(0, [], taken.port)).rejects.toMatchObject({
    code: "ADDRESS_IN_USE",
    message: `Cannot use port ${taken.port} for the listener "outbound"`,
    hint: expect.stringContaining("--port"),
  });
});

test("chosen ports differ, are free, and are none that the system gives to whoever asks for any", async () => {
  const ports = await choosePorts(50);
  expect(new Set(ports).size).toBe(50);
  for (const port of ports) {
    expect(port).toBeGreaterThanOrEqual(20_000);
    expect(port).toBeLessThan(30_000);
    const server = createServer().listen(port, "127.0.0.1");
    await once(server, "listening");
    server.close();
  }
});

test("run folders of agents that were killed are removed, and nothing else", async () => {
  const gone = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  const dead = { pid: gone.pid ?? 0, start: await startOf(gone.pid ?? 0), envoys: [] };
  gone.kill("SIGKILL");
  await once(gone, "exit");
  const living = { pid: process.pid, start: await startOf(process.pid), envoys: [] };
  const make = async (name: string, agent?: object): Promise<string> => {
    const configPath = join(folder, name, "etc/istio/proxy");
    await mkdir(configPath, { recursive: true });
    if (agent !== undefined) await writeFile(join(configPath, "agent.json"), JSON.stringify(agent));
    return configPath;
  };
  await make("pilotboat-dead00", dead);
  await make("pilotboat-living", living);
  await make("pilotboat-starts");
  await make("pilotboat-torn00");
  await writeFile(join(folder, "pilotboat-torn00/etc/istio/proxy/agent.json"), '{"pid":');
  await make("pilotboat-validate-dead00", dead);
  await make("another-dead00", dead);
  await make("elsewhere", dead);
  await symlink(join(folder, "elsewhere"), join(folder, "pilotboat-linked"));
  const elsewhere = await make("pilotboat-answer", dead); // of another container, whose process ids are not ours
  await using _ = await bindUnix(join(elsewhere, "XDS"));
  using _full = await holdSocket(join(await make("pilotboat-full00", dead), "XDS"), "SOCK_STREAM", FULL_QUEUE);
  using _other = await holdSocket(join(await make("pilotboat-dgram0", dead), "XDS"), "SOCK_DGRAM");
  const before = await readdir(folder);

  await sweepRunFolders(folder, silentLogger);
  expect(before.filter((name) => name === "pilotboat-dead00")).toHaveLength(1);
  expect((await readdir(folder)).sort()).toEqual(before.filter((name) => name !== "pilotboat-dead00").sort());
  expect(await readdir(join(folder, "elsewhere"))).toEqual(["etc"]);
  await sweepRunFolders(join(folder, "nowhere"), silentLogger);
});
