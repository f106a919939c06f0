import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type RunningCommand, type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { isAlive, listeningAddresses } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";

describe.each(runtimes())("pilotboat run on $name", (runtime) => {
  let world: World;
  beforeAll(async () => {
    world = await buildWorld(runtime);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const go = (script: string, flags: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
    start(runtime, ["run", ...flags, "--", ...node(script)], { cwd: world.folder, env: { ...world.env, ...env } });

  /** Nothing of a run is in its folder any more but what the next one may use, and evidence of crashes; Envoy's process is gone. */
  const expectNothingLeft = async (envoyPid?: number): Promise<void> => {
    const left = await readdir(join(world.folder, "etc/istio/proxy"));
    const kept = ["crashes", "last-good"];
    expect(left.filter((name) => !kept.includes(name))).toEqual(["grpc-bootstrap.json"]);
    if (envoyPid !== undefined) expect(isAlive(envoyPid)).toBe(false);
  };

  test("starts the application when the proxy is ready, and returns its exit code", async () => {
    await using command = go(`
      const { PILOTBOAT_STATUS_URL: status, PILOTBOAT_ADMIN_URL: admin, GRPC_XDS_BOOTSTRAP: grpc } = process.env;
      const answers = [status + "/healthz/ready", admin + "/ready", "${world.outbound}/job"].map((url) => fetch(url));
      const codes = (await Promise.all(answers)).map((answer) => answer.status);
      const hasBootstrap = require("node:fs").existsSync(grpc);
      console.log(JSON.stringify({ codes, hasBootstrap, env: process.env, cwd: process.cwd() }));
      process.exit(7);`);
    expect(await command.ended).toEqual({ code: 7, signal: null });
    const said = JSON.parse(command.stdout()); // nobody else wrote to stdout
    expect(said).toMatchObject({ codes: [200, 200, 200], hasBootstrap: true, cwd: world.folder });
    expect(said.env).toMatchObject({
      POD_NAMESPACE: "default",
      PILOTBOAT_RUN_FOLDER: world.folder,
      PILOTBOAT_NODE_ID: "sidecar~127.0.0.1~quickstart.default~default.svc.cluster.local",
    });
    expect(command.stderr()).toContain(`  status         ${said.env.PILOTBOAT_STATUS_URL}/healthz/ready\n`);
    expect(command.stderr()).toContain(`  envoy admin    ${said.env.PILOTBOAT_ADMIN_URL}\n`);
    await expectNothingLeft();
  });

  test("ports that somebody has set stay, the others are free ones", async () => {
    const [admin = 0, health = 0] = await freePorts(2);
    const proxyConfig = JSON.stringify({ ...JSON.parse(world.env.PROXY_CONFIG ?? ""), proxyAdminPort: admin });
    await using command = go("console.log(process.env.PILOTBOAT_STATUS_URL)", [], {
      PROXY_CONFIG: proxyConfig,
      ENVOY_STATUS_PORT: String(health),
    });
    expect((await command.ended).code).toBe(0);
    expect(command.stderr()).toMatch(new RegExp(`envoy admin +http://127\\.0\\.0\\.1:${admin}\n`));
    expect(command.stderr()).toMatch(new RegExp(`envoy health +http://127\\.0\\.0\\.1:${health}/`));
    expect(command.stdout()).not.toContain(":15020");
  });

  test("an application that dies of a signal is 128 and the signal", async () => {
    await using command = go("process.kill(process.pid, 'SIGKILL')");
    expect((await command.ended).code).toBe(137);
    await expectNothingLeft();
  });

  test("SIGTERM drains what comes in, and the application's last calls still leave", async () => {
    await using command = go(
      `
      process.on("SIGTERM", async () => {
        console.error("SIGTERM arrived");
        const codes = [(await fetch(process.env.PILOTBOAT_STATUS_URL + "/healthz/ready")).status];
        for (let call = 0; call < 5; call++) {
          await new Promise((done) => setTimeout(done, 100));
          codes.push((await fetch("${world.outbound}/last")).status);
        }
        console.log(JSON.stringify(codes));
        process.exit(3);
      });
      ${WAIT}`,
      ["--log_output_level=default:debug"],
    );
    await command.waitFor(/waiting/);
    const envoy = await envoyOf(command.pid);
    command.kill("SIGTERM");
    expect((await command.ended).code).toBe(3);
    expect(command.stdout()).toContain("[503,200,200,200,200,200]"); // not ready, and yet of use
    expect(command.stderr()).toMatch(/Drain requested.*SIGTERM arrived.*The application exited.*Ending Envoy/s);
    await expectNothingLeft(envoy);
  });

  test("Envoy passes on what is still open before it ends, and not longer", async () => {
    const proxyConfig = { ...JSON.parse(world.env.PROXY_CONFIG ?? ""), terminationDrainDuration: "600s" };
    const env = { PROXY_CONFIG: JSON.stringify(proxyConfig) };
    await using command = go(WAIT, ["-v"], env);
    await command.waitFor(/waiting/);
    const client = connect(Number(new URL(world.outbound).port), "127.0.0.1");
    await once(client, "connect");
    command.kill("SIGTERM");
    await command.waitFor(/The application exited.*Connections are still open/s);
    client.destroy();
    expect((await command.ended).code).toBe(143);
    await expectNothingLeft();
  });

  test("a signal to the whole process group reaches the application once", async () => {
    await using command = go(`
      let count = 0;
      process.on("SIGTERM", () => ++count === 1 && setTimeout(() => process.exit(40 + count), 500));
      ${WAIT}`);
    await command.waitFor(/waiting/);
    process.kill(-command.pid, "SIGTERM");
    expect((await command.ended).code).toBe(41);
  });

  test("SIGHUP, SIGUSR1 and SIGUSR2 are passed on and end nothing", async () => {
    await using command = go(`
      for (const name of ["SIGHUP", "SIGUSR1", "SIGUSR2"]) process.on(name, () => console.log("got " + name));
      ${WAIT}`);
    await command.waitFor(/waiting/);
    for (const name of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) {
      command.kill(name);
      await command.waitFor(new RegExp(`got ${name}`));
    }
    command.kill("SIGINT");
    expect((await command.ended).code).toBe(130);
  });

  test("an application that ignores SIGTERM is killed at the deadline", async () => {
    await using command = go(`process.on("SIGTERM", () => {}); ${WAIT}`, ["--stop-deadline=500ms"]);
    await command.waitFor(/waiting/);
    command.kill("SIGTERM");
    expect((await command.ended).code).toBe(137);
    expect(command.stderr()).toContain("Application did not exit in time; sending SIGKILL");
    await expectNothingLeft();
  });

  test("a second signal reaches it, too, a third kills it", async () => {
    await using command = go(`
      let count = 0;
      process.on("SIGTERM", () => console.log("SIGTERM " + ++count));
      ${WAIT}`);
    await command.waitFor(/waiting/);
    command.kill("SIGTERM");
    await command.waitFor(/SIGTERM 1/);
    command.kill("SIGTERM");
    await command.waitFor(/SIGTERM 2/);
    command.kill("SIGTERM");
    expect((await command.ended).code).toBe(137);
    await expectNothingLeft();
  });

  test("SIGKILL to the agent leaves neither Envoy nor the application", async () => {
    await using command = go(`console.log("pid " + process.pid); ${WAIT}`);
    const [, pid = ""] = await command.waitFor(/pid (\d+)/);
    const envoy = await envoyOf(command.pid);
    command.kill("SIGKILL");
    await command.ended;
    await expect.poll(() => isAlive(envoy) || isAlive(Number(pid)), { timeout: 10_000 }).toBe(false);
  });

  test("an Envoy that crashes is started again, and the application does not notice its end", async () => {
    await using command = go(WAIT);
    await command.waitFor(/waiting/);
    const first = await envoyOf(command.pid);
    process.kill(first, "SIGKILL");
    await expect
      .poll(
        () =>
          fetch(world.outbound).then(
            ({ status }) => status,
            () => 0,
          ),
        { timeout: 20_000 },
      )
      .toBe(200);
    expect(await envoyOf(command.pid)).not.toBe(first);
    command.kill("SIGTERM");
    expect((await command.ended).code).toBe(143);
  });

  test("an Envoy that was still starting when the end began is not waited for once the application is gone", async () => {
    await using command = go(`
      process.on("SIGTERM", async () => {
        const status = () => fetch("${world.outbound}/last").then((answer) => answer.status, () => 0);
        while ((await status()) !== 200) await new Promise((done) => setTimeout(done, 20));
        setTimeout(() => process.exit(0), 700); // by then the agent knows that Envoy is live
      });
      ${WAIT}`);
    await command.waitFor(/waiting/);
    process.kill(await envoyOf(command.pid), "SIGKILL");
    command.kill("SIGTERM");
    expect((await command.ended).code).toBe(0);
    expect(command.stderr()).not.toContain("Connections are still open");
  });

  test("an Envoy that is given up ends the application, with Envoy's code", async () => {
    await using command = go(`process.on("SIGTERM", () => process.exit(0)); ${WAIT}`, ["--restart=never"]);
    await command.waitFor(/waiting/);
    process.kill(await envoyOf(command.pid), "SIGKILL");
    expect((await command.ended).code).toBe(137);
    expect(command.stderr()).toMatch(/Envoy exited by itself: signal: killed.* \[ENVOY_ENDED\]/);
  });

  test("a job that calls /quitquitquit keeps Envoy until it has ended", async () => {
    await using command = go(`
      const quit = await fetch(process.env.PILOTBOAT_STATUS_URL + "/quitquitquit", { method: "POST" });
      await new Promise((done) => setTimeout(done, 300));
      console.log(quit.status, (await fetch("${world.outbound}/after")).status);`);
    expect((await command.ended).code).toBe(0);
    expect(command.stdout()).toBe("200 200\n");
  });

  test("a proxy that is never ready is told with its reason, and the application is not started", async () => {
    const [nobody = 0] = await freePorts(1);
    const proxyConfig = { ...JSON.parse(world.env.PROXY_CONFIG ?? ""), discoveryAddress: `localhost:${nobody}` };
    const env = { PROXY_CONFIG: JSON.stringify(proxyConfig) };
    await using command = go("console.log('started')", ["--ready-timeout", "1500ms"], env);
    expect((await command.ended).code).toBe(1);
    expect(command.stderr()).toMatch(/the proxy was not ready within 1\.5 s: .*(ECONNREFUSED|refused).* \[TIMEOUT\]/);
    expect(command.stdout()).toBe("");
    await expectNothingLeft();

    await using interrupted = go("console.log('started')", ["-v"], env);
    await interrupted.waitFor(/Envoy command/);
    interrupted.kill("SIGTERM");
    expect((await interrupted.ended).code).toBe(143);
    expect(interrupted.stdout()).toBe("");
  });

  test("without Envoy the application finds the gRPC bootstrap", async () => {
    await using command = go(
      `const { PILOTBOAT_ADMIN_URL: admin, GRPC_XDS_BOOTSTRAP: file } = process.env;
      const { xds_servers } = JSON.parse(require("node:fs").readFileSync(file, "utf8"));
      console.log(admin, xds_servers.length);`,
      [],
      { DISABLE_ENVOY: "true" },
    );
    expect((await command.ended).code).toBe(0);
    expect(command.stdout()).toBe("undefined 1\n");
  });

  test("what cannot be run is 127 or 126, as in a shell, before anything starts", async () => {
    const empty = join(world.folder, "empty");
    await mkdir(empty, { recursive: true });
    await writeFile(join(empty, "plain"), "text", { mode: 0o644 });
    const tell = (args: readonly string[]) => run(runtime, ["run", ...args], { cwd: empty });
    expect(await tell(["no-such-command"])).toMatchObject({ code: 127, stderr: expect.stringMatching(/NOT_FOUND/) });
    expect(await tell(["./no-such"])).toMatchObject({ code: 127, stderr: expect.stringContaining('"./no-such"') });
    expect(await tell(["./plain"])).toMatchObject({ code: 126, stderr: expect.stringMatching(/NOT_EXECUTABLE/) });
    expect(await tell(["--no-such-flag", "true"])).toMatchObject({ code: 2, stderr: expect.stringMatching(/unknown/) });
    expect(await tell(["--"])).toMatchObject({ code: 2 });
    expect(await readdir(empty)).toEqual(["plain"]);
  });

  test("stdin and stdout are the application's, however much goes through", async () => {
    const megabytes = 4;
    const [file = "", ...words] = runtime.command;
    const child = spawn(file, [...words, "run", "cat"], {
      cwd: world.folder,
      env: { ...plainEnv(), ...world.env },
      stdio: ["pipe", "pipe", "ignore"],
    });
    let received = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    const ended = new Promise<number | null>((done) => child.once("close", (code) => done(code)));
    child.stdin.on("error", () => undefined); // an application that ended early is told by its code
    for (let sent = 0; sent < megabytes; sent++) child.stdin.write(Buffer.alloc(1_000_000, "x"));
    child.stdin.end();
    expect(await ended).toBe(0);
    expect(received).toBe(megabytes * 1_000_000);
  });

  test.runIf(process.platform === "linux")("Ctrl-C in a terminal is the application's, and comes once", async () => {
    const script = `
      let count = 0;
      process.on("SIGINT", async () => {
        if (++count > 1) return;
        const { status } = await fetch(process.env.PILOTBOAT_STATUS_URL + "/healthz/ready");
        setTimeout(() => { console.log("terminal " + process.stdin.isTTY, status); process.exit(50 + count); }, 300);
      });
      ${WAIT}`;
    const path = join(world.folder, "in-terminal.mjs");
    await writeFile(path, script);
    const line = ["exec", ...runtime.command, "run", "--", process.execPath, path].join(" ");
    const child = spawn("script", ["-qfec", line, "/dev/null"], {
      cwd: world.folder,
      env: { ...plainEnv(), ...world.env, SHELL: "/bin/sh" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    let shown = "";
    child.stdout.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
    });
    const ended = new Promise<number | null>((done) => child.once("close", (code) => done(code)));
    await expect.poll(() => shown, { timeout: 20_000 }).toContain("waiting");
    child.stdin.write("\x03");
    expect(await ended).toBe(51);
    expect(shown).toContain("terminal true 200"); // Ctrl-C alone did not begin the end
    child.stdin.destroy();
  });
});

test.each(runtimes())("run --local needs no cluster, on $name", async (runtime) => {
  const temporary = await mkdtemp(join(tmpdir(), "pb-run-"));
  onTestFinished(() => rm(temporary, { recursive: true, force: true }));
  const script = `
    const answer = await fetch(process.env.PILOTBOAT_OUTBOUND_URL + "/local");
    console.log(answer.status, answer.headers.get("x-peer-uri-san"));`;
  await using command = start(runtime, ["run", "--local", ...node(script)], { env: { TMPDIR: temporary } });
  expect((await command.ended).code).toBe(0);
  expect(command.stdout()).toBe("200 spiffe://cluster.local/ns/default/sa/quickstart\n");
  expect(await readdir(temporary)).toEqual([]);
  const { code, stderr } = await run(runtime, ["run", "--local", "--concurrency=1", "true"]);
  expect(code).toBe(2);
  expect(stderr).toContain("--concurrency cannot be used with --local");
});

test.each(runtimes())(
  "reality 35: run --local --app-port brings requests to the application, on $name",
  async (runtime) => {
    const temporary = await mkdtemp(join(tmpdir(), "pb-run-"));
    onTestFinished(() => rm(temporary, { recursive: true, force: true }));
    const [appPort = 0] = await freePorts(1);
    const script = `
    const server = require("node:http").createServer((request, response) => response.end("mine: " + request.url));
    server.listen(${appPort}, "127.0.0.1", () => console.log("listening", process.env.PILOTBOAT_OUTBOUND_URL));`;
    const words = ["run", "--local", "--app-port", String(appPort), "--", ...node(script)];
    await using command = start(runtime, words, { env: { TMPDIR: temporary } });
    const [, outbound = ""] = await command.waitFor(/listening (\S+)/);
    expect(command.stderr()).toContain(`  leads to       http://127.0.0.1:${appPort}\n`);
    expect(await (await fetch(`${outbound}/orders`)).text()).toBe("mine: /orders");
    if (process.platform === "linux") expect(listeningAddresses(command.pid), "reality 28").toEqual(["0100007F"]);
    command.kill("SIGTERM");
    expect((await command.ended).code).toBe(143);
    for (const refused of [
      ["--app-port", "1"],
      ["--local", "--app-port", "70000"],
    ]) {
      expect(await run(runtime, ["run", ...refused, "--", "true"])).toMatchObject({ code: 2 });
    }
  },
);

/** Says that it runs, and stays. */
const WAIT = 'console.log("waiting"); setInterval(() => {}, 1_000);';

/** A command that runs a script with this Node; both `require` and `await` work in it. */
function node(script: string): string[] {
  const wrapped = `(async () => {${script}})().catch((error) => { console.error(error); process.exit(99); })`;
  return [process.execPath, "--input-type=commonjs", "-e", wrapped];
}

interface World extends AsyncDisposable {
  /** A run folder with credentials. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly outbound: string;
}

/** A control plane with an example service, and what a sidecar in it is told. */
async function buildWorld(runtime: Runtime): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), "pb-run-"));
  const [outbound = 0, inbound = 0, app = 0, port = 0] = await freePorts(4);
  const values = { OUTBOUND_PORT: outbound, INBOUND_PORT: inbound, APP_PORT: app };
  const controlPlane: RunningCommand = start(runtime, [
    ...["control-plane", "--dir", resolve("examples/quickstart/xds"), "--port", String(port)],
    ...["--with-service", "--write-credentials", folder],
    ...Object.entries(values).flatMap(([name, value]) => ["--set", `${name}=${value}`]),
  ]);
  await controlPlane.waitFor(/credentials {4}/);
  return {
    folder,
    outbound: `http://127.0.0.1:${outbound}`,
    env: {
      PROXY_CONFIG: JSON.stringify({
        discoveryAddress: `localhost:${port}`,
        binaryPath: await realEnvoy(),
        terminationDrainDuration: "0s", // Envoy's own hop from outbound to inbound stays open
      }),
      POD_NAME: "quickstart",
      POD_NAMESPACE: "default",
      SERVICE_ACCOUNT: "quickstart",
      INSTANCE_IP: "127.0.0.1",
    },
    async [Symbol.asyncDispose]() {
      await controlPlane[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function plainEnv(): Record<string, string> {
  const { PATH = "", HOME = "" } = process.env;
  return { PATH, HOME };
}

/** The agent's child whose program is Envoy. */
async function envoyOf(pid: number): Promise<number> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ");
  for (const child of children) {
    if ((await readFile(`/proc/${child}/comm`, "utf8")).trim() === "envoy") return Number(child);
  }
  throw new Error(`No child of ${pid} is Envoy: ${children.join(", ")}`);
}
