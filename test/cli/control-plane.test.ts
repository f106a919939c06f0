import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLUSTER_TYPE } from "../../src/control-plane/ads/resource-types.ts";
import { DiscoveryRequestSchema } from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { framed } from "../grpc-stream/framed.ts";
import { answerOf, CALL } from "../grpc-stream/h2.ts";
import { type RunningCommand, run, runtimes, start } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";

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

  test("ends a call at its deadline, refuses a malformed one and grpc-web, and reads no more of who does not read", async () => {
    await using plane = start(runtime, args("--plaintext-port", "0"), { cwd: folder });
    const [, address] = await plane.waitFor(/plaintext +(\S+)/);
    const session = connect(`http://${address}`).on("error", () => undefined);
    const path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
    const open = (headers: object) => session.request({ ...CALL, ":path": path, ...headers });
    expect((await answerOf(open({ "grpc-timeout": "200m" }))).headers).toMatchObject({ "grpc-status": "4" });
    expect((await answerOf(open({ "grpc-timeout": "5s" }))).headers).toMatchObject({ "grpc-status": "13" });
    const web = await answerOf(open({ "content-type": "application/grpc-web" }));
    expect(web.headers[":status"]).toBe(415);
    const unread = open({}).on("error", () => undefined);
    const request = { node: { id: "sidecar~10.0.0.1~a.b~b.svc" }, typeUrl: CLUSTER_TYPE };
    const bytes = framed(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request)));
    const many = Buffer.concat(Array.from({ length: 500 }, () => bytes));
    let isHeld = false;
    for (let sent = 0; sent < 200 && !isHeld; sent++) {
      if (unread.write(many)) continue;
      isHeld = await Promise.race([once(unread, "drain").then(() => false), setTimeout(1_000, true)]);
    }
    session.destroy();
    expect(isHeld).toBe(true);
  });

  /** Control planes of this test alone, so that `token` finds no others. */
  const home = () => ({ cwd: folder, env: { XDG_STATE_HOME: join(folder, "state") } });
  const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  const tokenWords = ["control-plane", "token", "-n", "shop", "--service-account", "cart"];

  test("reality 30: a folder without resources is told at the start, and again when it has none any more", async () => {
    await mkdir(join(folder, "empty"));
    const words = ["control-plane", "--port", "0", "--dir"];
    await using empty = start(runtime, [...words, join(folder, "empty")], home());
    await empty.waitFor(
      /^resources {6}none in ".*empty": YAML files \(\.yaml, \.yml\) that are put there are read at once$/m,
    );
    await empty.waitFor(/warn.*There are no resources; clients will get none.*folder=.*empty/);
    await writeFile(join(folder, "empty/mesh.yml"), "clusters: [{ name: a }, { name: b }]\nlisteners: []\n");
    await empty.waitFor(/Reloaded the resources/);
    await rm(join(folder, "empty/mesh.yml"));
    await empty.waitFor(/(There are no resources[\s\S]*){2}/);
    await using full = start(runtime, args(), home());
    await full.waitFor(/^resources {6}1 clusters$/m);
    expect(full.stderr()).not.toContain("There are no resources");
  });

  test("reality 30: a token of a running control plane lets a second workload in; its coming and going are logged", async () => {
    await using sandbox = await createSandbox(runtime);
    await using plane = await sandbox.startControlPlane({ env: home().env });
    const words = [...tokenWords, "--port", String(sandbox.ports.controlPlane), "--write-credentials", sandbox.folder];
    const written = await run(runtime, words, home());
    expect(written).toMatchObject({ code: 0, stderr: "" });
    expect(written.stdout).toContain(`credentials    ${sandbox.folder}`);
    await using proxy = await sandbox.startProxy({
      env: { POD_NAME: "cart-1", POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "cart" },
    });
    const connected = await plane.waitFor(/info.*\tConnected\tnode=(sidecar~127\.0\.0\.1~cart-1\.shop~\S+)/);
    const status = () =>
      fetch(`http://127.0.0.1:${sandbox.ports.status}/healthz/ready`).then(
        (one) => one.status,
        () => 0,
      );
    await expect.poll(status).toBe(200);
    proxy.kill("SIGTERM");
    const gone = await plane.waitFor(/info.*\tDisconnected\tnode=(\S+)/);
    expect(gone[1]).toBe(connected[1]);
    await proxy.ended;
  });

  test("reality 30: the token is printed alone, for the workload and the time that were asked for", async () => {
    await using plane = start(runtime, args(), home());
    await plane.waitFor(/^control plane/m);
    const printed = await run(runtime, [...tokenWords, "--duration", "90s"], home());
    expect(printed).toMatchObject({ code: 0, stderr: "" });
    expect(printed.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const { sub, iat, exp } = claimsOf(printed.stdout.trim());
    expect([sub, exp - iat]).toEqual(["system:serviceaccount:shop:cart", 90]);
    const [socket = ""] = await readdir(join(folder, "state/pilotboat/control-planes"));
    const { mode } = await stat(join(folder, "state/pilotboat/control-planes", socket));
    expect(mode & 0o777).toBe(0o600); // who may open it may be anybody
  });

  test("reality 30: which control plane is meant has to be clear, and one that was killed is none", async () => {
    expect(await run(runtime, tokenWords, home())).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no control plane of this user runs here \(looked in ".*"\) \[REQUEST_FAILED\]/),
    });
    const portOf = async (plane: RunningCommand) => (await plane.waitFor(/^control plane +\S+:(\d+)$/m))[1] ?? "";
    await using first = start(runtime, args(), home());
    await using second = start(runtime, args(), home());
    const ports = [await portOf(first), await portOf(second)];
    const both = await run(runtime, tokenWords, home());
    expect(both.code).toBe(2);
    for (const port of ports) expect(both.stderr).toContain(`port ${port} (pid `);
    expect((await run(runtime, [...tokenWords, "--port", ports[1] ?? ""], home())).code).toBe(0);
    expect((await run(runtime, [...tokenWords, "--port", "1"], home())).stderr).toContain(`at port 1: there are port`);
    first.kill("SIGKILL");
    await first.ended;
    expect((await run(runtime, tokenWords, home())).code).toBe(0);
    expect(await readdir(join(folder, "state/pilotboat/control-planes"))).toHaveLength(1);
    second.kill("SIGTERM");
    await second.ended;
    expect(await readdir(join(folder, "state/pilotboat/control-planes"))).toEqual([]);
  });

  test.each([
    [["-n", "sh:op"], 'Cannot use --namespace "sh:op"'],
    [["-n", ""], 'Cannot use --namespace ""'],
    [["--service-account", "a:b"], 'Cannot use --service-account "a:b"'],
    [["--duration", "1d"], 'Cannot use --duration "1d", wanted a time of at least 1s'],
    [["--duration", "-1h"], 'Cannot use --duration "-1h"'],
    [["--port", "x"], 'Cannot use --port "x"'],
  ])("reality 30: a token for %s is refused with exit code 2", async (more, expected) => {
    await using plane = start(runtime, args(), home());
    await plane.waitFor(/^control plane/m);
    const { code, stderr, stdout } = await run(runtime, [...tokenWords, ...more], home());
    expect(stderr).toContain(expected);
    expect([code, stdout]).toEqual([2, ""]);
  });
});
