import { execFile, spawn } from "node:child_process";
import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ControlPlane, writeCredentials } from "../../src/control-plane/index.ts";
import { EC_KEY, makeCsr, type Rig, startRig } from "../control-plane/rig.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { createSandbox } from "../support/sandbox.ts";

const MESH = `
clusters:
  - name: web
    type: EDS
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: V3 }, service_name: web-endpoints }
  - { name: fixed, type: STATIC }
endpoints:
  - cluster_name: web-endpoints
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } } }] }]
listeners:
  - name: out
    address: { socket_address: { address: 127.0.0.1, port_value: 2 } }
    filter_chains:
      - filters:
          - name: hcm
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              rds: { route_config_name: web-routes, config_source: { ads: {}, resource_api_version: V3 } }
        transport_socket:
          name: tls
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
            common_tls_context:
              tls_certificate_sds_secret_configs: [{ name: kubernetes://web, sds_config: { ads: {}, resource_api_version: V3 } }]
routes:
  - { name: web-routes, virtual_hosts: [] }
secrets:
  - name: kubernetes://web
    tls_certificate: { certificate_chain: { inline_string: CHAIN }, private_key: { inline_string: PRIVATE } }
names: { web.example.com: { ips: [10.0.0.1] } }
`;

describe.each(runtimes())("pilotboat xds on $name", { timeout: 60_000 }, (runtime) => {
  let folder: string;
  let rig: Rig;
  let plane: ControlPlane;
  const xds = (...words: readonly string[]) => run(runtime, ["xds", ...words], { cwd: folder });
  const server = () => ["-a", plane.address, ...["--root-cert", ROOT, "--token", TOKEN]];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-xds-"));
    rig = await startRig({ "mesh.yaml": MESH });
    plane = rig.controlPlane;
    await writeCredentials(plane, folder, { namespace: "shop", serviceAccount: "web" });
  });
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test.each([[[]], [["--delta"]]])(
    "get shows what a proxy would have, with names learned from others %s",
    async (form) => {
      const { code, stdout, stderr } = await xds("get", "cds", "lds", "eds", "rds", "sds", "nds", ...form, ...server());
      expect(stdout.split("\n").map((line) => line.split(/ +/).slice(0, 2).join(" "))).toEqual([
        "TYPE NAME",
        "CDS web",
        "CDS fixed",
        "LDS out",
        "EDS web-endpoints",
        "RDS web-routes",
        "SDS kubernetes://web",
        "NDS -",
        "",
      ]);
      expect(stderr).toBe(
        "EDS: no names given, asked for the 1 that CDS refers to\nRDS: no names given, asked for the 1 that LDS refers to\n" +
          "SDS: no names given, asked for the 1 that LDS and CDS refer to\n",
      );
      expect(code).toBe(0);
    },
  );

  test("get -o json and -o yaml have the responses in protobuf's JSON form, and no key", async () => {
    const json = await xds("get", "lds", "sds", "-o", "json", ...server());
    const [listeners, secrets] = JSON.parse(json.stdout);
    expect(listeners).toMatchObject({
      typeUrl: "type.googleapis.com/envoy.config.listener.v3.Listener",
      resources: [
        { name: "out", filterChains: [{ filters: [{ typedConfig: { rds: { routeConfigName: "web-routes" } } }] }] },
      ],
    });
    expect(secrets.resources[0].tlsCertificate.certificateChain).toEqual({ inlineString: "CHAIN" });
    const yaml = await xds("get", "sds", "-o", "yaml", "--delta", ...server());
    expect(yaml.stdout).toContain("name: kubernetes://web");
    expect(json.stdout + yaml.stdout).not.toContain("PRIVATE");
  });

  test("get -f sends requests of a file, with their node and names", async () => {
    const typeUrl = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    const node = { id: "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local", metadata: { NAMESPACE: "shop" } };
    await writeFile(
      join(folder, "request.yaml"),
      JSON.stringify({ node, type_url: typeUrl, resourceNames: ["other"] }),
    );
    const { code, stdout } = await xds("get", "-f", "request.yaml", ...server());
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^EDS +other /m)]);
    for (const words of [
      ["--node-id", "other"],
      ["-n", "shop"],
    ]) {
      const ignored = await xds("get", "-f", "request.yaml", ...words, ...server());
      expect([ignored.code, ignored.stderr]).toEqual([2, expect.stringContaining('the node stands in "request.yaml"')]);
    }
    const foreign = { node: { id: "sidecar~10.0.0.1~a.b~c", metadata: { NAMESPACE: "other" } }, typeUrl };
    await writeFile(join(folder, "foreign.yaml"), JSON.stringify(foreign));
    const refused = await xds("get", "-f", "foreign.yaml", ...server());
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/PERMISSION_DENIED.*\[REQUEST_FAILED\]/)]);
  });

  test("get reaches a server that only the proxy of HTTPS_PROXY knows", async () => {
    const address = "istiod.istio-system.svc:15012";
    await using proxy = await startConnectProxy({ [address]: plane.port });
    const words = ["xds", "get", "cds", "-a", address, "--root-cert", ROOT, "--token", TOKEN];
    const got = await run(runtime, words, { cwd: folder, env: { HTTPS_PROXY: `http://${proxy.address}` } });
    expect([got.stderr, got.stdout.includes("CDS   web"), got.code]).toEqual(["", true, 0]);
    expect(proxy.asked.map(({ target }) => target)).toEqual([address]);
  });

  test("a proxy that is not there or does not answer is blamed, not the control plane", async () => {
    const [port = 0] = await freePorts(1);
    await using silent = await listenSilently();
    const words = ["xds", "get", "cds", "-a", "istiod.example:15010", "--plaintext", "--timeout", "1s"];
    const through = (proxy: string) => run(runtime, words, { cwd: folder, env: { HTTPS_PROXY: `http://${proxy}` } });
    const [refusing, waiting] = [`127.0.0.1:${port}`, `127.0.0.1:${silent.port}`];
    expect((await through(refusing)).stderr).toMatch(
      new RegExp(`"istiod.example:15010": proxy "${refusing}": .*\\[CONTROL_PLANE_UNREACHABLE\\]\n.*HTTPS_PROXY names`),
    );
    expect((await through(waiting)).stderr).toMatch(
      new RegExp(`no connection within 1s: proxy "${waiting}" does not answer CONNECT .*\n.*HTTPS_PROXY names`),
    );
  });

  test("a client certificate proves who calls as well as a token does; half of one is refused", async () => {
    const csr = makeCsr(EC_KEY, { keyFile: join(folder, "key.pem") });
    const token = await plane.mintToken({ namespace: "shop", serviceAccount: "web" });
    await writeFile(join(folder, "cert.pem"), (await rig.sign(csr, token.revealText())).join(""));
    const pair = ["--cert", "cert.pem", "--key", "key.pem"];
    const { code, stdout } = await xds("get", "cds", "-n", "shop", "-a", plane.address, "--root-cert", ROOT, ...pair);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^CDS +web /m)]);
    const half = await xds("get", "cds", "-a", plane.address, "--root-cert", ROOT, "--cert", "cert.pem");
    expect([half.code, half.stderr]).toEqual([
      2,
      expect.stringContaining("Cannot use --cert alone, wanted --cert and --key"),
    ]);
  });

  test.each([
    [
      "nobody there",
      (at: Place) => ["-a", at.dead, "--plaintext"],
      /Cannot reach .*ECONNREFUSED.*\[CONTROL_PLANE_UNREACHABLE\]/,
    ],
    [
      "no such name",
      () => ["-a", "no.such.invalid:1"],
      /Cannot reach the control plane at "no.such.invalid:1".*\[CONTROL_PLANE_UNREACHABLE\]/,
    ],
    ["roots of another", (at: Place) => ["-a", at.plane], /--root-cert/],
    [
      "another name",
      (at: Place) => ["-a", at.plane, "--root-cert", ROOT, "--server-name", "x.example"],
      /--server-name/,
    ],
    ["TLS where there is plaintext", (at: Place) => ["-a", at.plane, "--plaintext"], /leave --plaintext out/],
    ["nobody who speaks", (at: Place) => ["-a", at.silent, "--plaintext", "--timeout", "1s"], /within 1s: the address/],
    [
      "no identity",
      (at: Place) => ["-a", at.plane, "--root-cert", ROOT],
      /does not know who calls: .*\[UNAUTHENTICATED\]\n.*--token FILE/,
    ],
  ])("says what is wrong: %s", async (_, words, message) => {
    const [dead = 0] = await freePorts(1);
    await using silent = await listenSilently();
    const at = { dead: `127.0.0.1:${dead}`, plane: plane.address, silent: `127.0.0.1:${silent.port}` };
    const { code, stdout, stderr } = await xds("get", "cds", ...words(at));
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
  });

  test("a type that nobody knows is left without an answer, which is no success; a mistyped one is refused", async () => {
    const unknown = await xds("get", "acme.v1.Own", "--timeout", "1s", ...server());
    expect([unknown.code, unknown.stderr]).toEqual([
      1,
      expect.stringMatching(/No answer of .* for acme.v1.Own within 1 s \[TIMEOUT\]/),
    ]);
    const mistyped = await xds("get", "cdss", ...server());
    expect([mistyped.code, mistyped.stderr]).toEqual([2, expect.stringContaining('Did you mean "cds"?')]);
    const missing = await xds("get", "rds", "--name", "none", ...server());
    expect([missing.code, missing.stderr]).toEqual([0, expect.stringContaining('RDS: there is no "none"')]);
  });

  test.each([
    ["state of the world", []],
    ["incremental", ["--delta"]],
  ])(
    "watch prints what changes, names that come and go included, and survives the end of a stream: %s",
    async (_, form) => {
      plane.setResources(MESH);
      await using watch = start(runtime, ["xds", "watch", "cds", "eds", ...form, ...server()], { cwd: folder });
      await watch.waitFor(/CDS .*: 2 added\n {2}\+ web\n {2}\+ fixed\n[\s\S]*EDS .*: 1 added\n {2}\+ web-endpoints\n/);
      plane.setResources(MESH.replace("type: STATIC", "type: STRICT_DNS"));
      await watch.waitFor(/CDS .*: 1 changed\n {2}~ fixed\n/);
      plane.closeStreams();
      await watch.waitFor(/ended the stream.*trying again in/);
      await expect.poll(() => plane.connected().length).toBe(1);
      plane.setResources("clusters: [{ name: fixed, type: STATIC }]");
      await watch.waitFor(
        /CDS .*: 1 changed, 1 removed\n {2}~ fixed\n {2}- web\n[\s\S]*EDS .*: 1 removed\n {2}- web-endpoints\n/,
      );
      expect(watch.stdout().match(/added/g)).toHaveLength(2);
      watch.kill("SIGINT");
      expect((await watch.ended).code).toBe(0);
      await rig.controlPlane.reload();
    },
  );

  test.each([
    ["get", [], "DiscoveryResponse"],
    ["get", ["--delta"], "DeltaDiscoveryResponse"],
    ["watch", [], "DiscoveryResponse"],
    ["record", ["--delta"], "DeltaDiscoveryResponse"],
  ])("a response that cannot be decoded is the server's failure, not ours: %s %s", async (verb, form, message) => {
    await using broken = await answerWith(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    const words = verb === "record" ? ["broken.jsonl"] : [];
    const { code, stderr } = await xds(verb, ...words, "cds", ...form, "-a", broken.address, "--plaintext");
    const text = new RegExp(
      `^Error: The control plane at "${broken.address}" sent what is no ${message}: .*REQUEST_FAILED`,
    );
    expect([code, stderr]).toEqual([1, expect.stringMatching(text)]);
  });

  test("watch ends with the first change that nobody reads any more", async () => {
    const words = ["xds", "watch", "cds", ...server()].join(" ");
    const shell = { name: "sh", command: ["sh"] };
    await using pipe = start(shell, ["-c", `${runtime.command.join(" ")} ${words} | head -1`], { cwd: folder });
    await pipe.waitFor(/2 added/);
    let isOver = false;
    const ended = pipe.ended.finally(() => {
      isOver = true;
    });
    let round = 0;
    const change = () => {
      plane.setResources(`clusters: [{ name: round-${round++}, type: STATIC }]`);
      return isOver;
    };
    await expect.poll(change, { interval: 200, timeout: 20_000 }).toBe(true); // head may take a while to leave
    await plane.reload();
    expect(await ended).toEqual({ code: 0, signal: null });
    expect([pipe.stdout(), pipe.stderr()]).toEqual([expect.stringMatching(/^\S+ CDS .*: 2 added\n$/), ""]);
  });

  test("what is no PEM, or no pair, is refused with its file and flag", async () => {
    await makeCsr(EC_KEY, { keyFile: join(folder, "other-key.pem") });
    await writeFile(join(folder, "junk.pem"), "hello");
    const refusals: readonly (readonly [string[], string])[] = [
      [["--root-cert", "junk.pem"], '"junk.pem" (--root-cert): it holds no certificate, wanted PEM'],
      [
        ["--root-cert", ROOT, "--cert", "junk.pem", "--key", "other-key.pem"],
        '"junk.pem" (--cert): it holds no certificate',
      ],
      [["--root-cert", ROOT, "--cert", ROOT, "--key", "junk.pem"], '"junk.pem" (--key): it holds no private key'],
      [["--root-cert", ROOT, "--cert", ROOT, "--key", "other-key.pem"], "it is not the key of the certificate in"],
    ];
    for (const [words, text] of refusals) {
      const { code, stderr } = await xds("get", "cds", "-a", plane.address, ...words);
      expect([code, stderr]).toEqual([2, expect.stringContaining(text)]);
    }
  });

  test.each([
    ["--root-cert", ROOT],
    ["--server-name", "x"],
    ["--token", TOKEN],
  ])("%s, which plaintext has no use for, is refused", async (...words) => {
    const { code, stderr } = await xds("get", "cds", "-a", plane.address, "--plaintext", ...words);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^Error: Cannot (use|send) --\S+ without TLS: /)]);
  });

  test("watch says on stderr that a server is silent", async () => {
    await using silent = await answerWith(undefined);
    await using watch = start(runtime, ["xds", "watch", "cds", "eds", "-a", silent.address, "--plaintext"]);
    await watch.waitFor(/^\S+ no answer yet for CDS, EDS$/m);
    expect(watch.stdout()).toBe("");
    watch.kill("SIGINT");
    expect((await watch.ended).code).toBe(0);
  });

  test("-f - reads stdin, be it a socket or empty; Ctrl-C ends the wait for it, and for a FIFO", async () => {
    const [file = "", ...before] = runtime.command;
    const ask = (from: string) => [...before, "xds", "get", "-f", from, ...server()];
    const reading = (from: string) => {
      const child = spawn(file, ask(from), { cwd: folder, stdio: ["pipe", "pipe", "pipe"] }); // a socket, in Node
      let text = "";
      for (const output of [child.stdout, child.stderr]) output.on("data", (chunk) => (text += String(chunk)));
      const ended = new Promise<[number | null, string]>((done) => child.once("close", (code) => done([code, text])));
      return { child, ended };
    };
    const whole = reading("-");
    whole.child.stdin.write("typeUrl: cds\n");
    whole.child.stdin.end("resourceNames: [web]\n");
    expect(await whole.ended).toEqual([0, expect.stringMatching(/^CDS +web /m)]);
    const empty = reading("-");
    empty.child.stdin.end();
    expect(await empty.ended).toEqual([2, expect.stringContaining('Cannot use "stdin": there is no request in it')]);
    const piped = await run({ name: "sh", command: ["sh"] }, ["-c", `true | ${[file, ...ask("-")].join(" ")}`], {
      cwd: folder,
    });
    expect([piped.code, piped.stderr]).toEqual([2, expect.stringContaining("there is no request in it")]);
    await promisify(execFile)("mkfifo", [join(folder, "fifo")]);
    await using writer = await open(join(folder, "fifo"), "r+");
    for (const from of ["-", "fifo"]) {
      const waiting = reading(from);
      await writer.write("typeUrl: cds\n");
      waiting.child.stdin.write("typeUrl: cds\n");
      await expect.poll(() => isCatching(waiting.child.pid), { timeout: 20_000 }).toBe(true);
      waiting.child.kill("SIGINT");
      expect(await waiting.ended).toEqual([130, ""]);
    }
  });

  test("record writes for its owner alone, also over an earlier file", async () => {
    await writeFile(join(folder, "open.jsonl"), "old", { mode: 0o644 });
    expect((await xds("record", "open.jsonl", "cds", ...server())).code).toBe(0);
    expect((await stat(join(folder, "open.jsonl"))).mode & 0o777).toBe(0o600);
  });

  // Only root makes a device.
  test.runIf(process.getuid?.() === 0)("record --follow ends at once when the disk is full", async () => {
    const full = join(folder, "full");
    await promisify(execFile)("mknod", [full, "c", "1", "7"]); // a /dev/full of our own
    await using following = start(runtime, ["xds", "record", full, "cds", "--follow", ...server()], { cwd: folder });
    expect((await following.ended).code).toBe(1);
    expect([following.stdout(), following.stderr()]).toEqual(["", expect.stringMatching(/ENOSPC[\s\S]*not the whole/)]);
    expect((await stat(full)).mode & 0o777).not.toBe(0o600);
  });

  test("record and --replay: the same without the server it came from, but for keys; diff tells of changes", async () => {
    const recorded = await xds("record", "first.jsonl", ...server());
    expect([recorded.code, recorded.stdout]).toEqual([0, "first.jsonl: 6 responses\n"]);
    expect(recorded.stderr).toContain("1 resource was recorded without its private keys");
    const text = await readFile(join(folder, "first.jsonl"), "utf8");
    expect(text).not.toContain(Buffer.from("PRIVATE").toString("base64").slice(0, 8));
    expect((await stat(join(folder, "first.jsonl"))).mode & 0o777).toBe(0o600);

    const ports = ["--port", "0", "--plaintext-port", "0"];
    await using replay = start(runtime, ["control-plane", "--replay", "first.jsonl", ...ports], { cwd: folder });
    const [, address = ""] = await replay.waitFor(/plaintext +(\S+)/);
    await replay.waitFor(/2 clusters, 1 endpoints, 1 listeners, 1 routes, 1 secrets, 1 names/);
    const types = ["cds", "lds", "eds", "rds", "nds"];
    const again = await xds("record", "second.jsonl", ...types, "--delta", "-a", address, "--plaintext", "-n", "shop");
    expect(again.code).toBe(0);
    const gone = await xds("diff", "first.jsonl", "second.jsonl");
    expect([gone.code, gone.stdout]).toEqual([1, "- SDS kubernetes://web: only in first.jsonl\n"]);
    const dump = await xds("get", ...types, "sds", "-o", "json", ...server());
    await writeFile(join(folder, "dump.json"), dump.stdout);
    expect(await xds("diff", "first.jsonl", "dump.json")).toEqual({ code: 0, stdout: "", stderr: "" });

    plane.setResources(MESH.replace("type: STATIC", "type: STRICT_DNS").replaceAll("web-routes", "other-routes"));
    await xds("record", "third.jsonl", ...server());
    const changed = await xds("diff", "first.jsonl", "third.jsonl");
    expect([changed.code, changed.stdout.split("\n")]).toEqual([
      1,
      [
        "~ CDS fixed",
        '    type: "STATIC" -> "STRICT_DNS"',
        "~ LDS out",
        '    filterChains[0].filters["hcm"].typedConfig.rds.routeConfigName: "web-routes" -> "other-routes"',
        "+ RDS other-routes: only in third.jsonl",
        "- RDS web-routes: only in first.jsonl",
        "",
      ],
    ]);
    await plane.reload();
  });

  test("record --follow has what changes later; no answer leaves an earlier recording as it is", async () => {
    await using following = start(runtime, ["xds", "record", "long.jsonl", "cds", "--follow", ...server()], {
      cwd: folder,
    });
    const lines = () =>
      readFile(join(folder, "long.jsonl"), "utf8").then(
        (text) => text.trim().split("\n"),
        () => [],
      );
    await expect.poll(async () => (await lines()).length, { timeout: 20_000 }).toBe(2);
    plane.setResources("clusters: [{ name: web, type: STATIC }]");
    await expect.poll(async () => (await lines()).length, { timeout: 20_000 }).toBe(3);
    following.kill("SIGINT");
    expect([(await following.ended).code, following.stdout()]).toEqual([0, "long.jsonl: 2 responses\n"]);
    const [, , last = ""] = await lines();
    expect(JSON.parse(last)).toMatchObject({ resources: [{ name: "web" }], removed: ["fixed"] });
    const failed = await xds("record", "long.jsonl", "-a", "127.0.0.1:1", "--plaintext");
    expect([failed.code, await lines()]).toEqual([1, expect.objectContaining({ length: 3 })]);
    const limited = await xds("record", "long.jsonl", "--follow", "--timeout", "5s", ...server());
    expect([limited.code, limited.stderr]).toEqual([2, expect.stringContaining("Cannot use --timeout with --follow")]);
    await plane.reload();
  });

  test.each([
    ["no recording", "hello: world", /found neither a recording nor resources/],
    ["one of another format", '{"recording":"pilotboat xds","format":9}\n', /its format is 9, wanted 1/],
    ["a line that is none", '{"recording":"pilotboat xds","format":1}\n{}\n', /line 2 is no response/],
  ])("diff refuses %s with 2", async (_, text, message) => {
    await writeFile(join(folder, "bad.jsonl"), text);
    const { code, stderr } = await xds("diff", "bad.jsonl", "bad.jsonl");
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });

  test("--run-folder asks as the agent that runs there", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _plane = await sandbox.startControlPlane();
    await using agent = await sandbox.startProxy({ env: { DISABLE_ENVOY: "true", OUTPUT_CERTS: "certs" } });
    await agent.waitFor(/xds|serving|ready/i);
    const ask = () => run(runtime, ["xds", "get", "cds", "lds", "--run-folder", sandbox.folder]);
    await expect.poll(async () => (await ask()).code, { timeout: 20_000 }).toBe(0);
    expect((await ask()).stdout).toMatch(/^CDS +/m);
    agent.kill("SIGTERM");
    await agent.ended;
  });
});

interface Place {
  readonly dead: string;
  readonly plane: string;
  readonly silent: string;
}

const ROOT = "var/run/secrets/istio/root-cert.pem";
const TOKEN = "var/run/secrets/tokens/istio-token";

/** Whether a process of ours handles signals by now; Node itself handles SIGINT, but not SIGHUP. Source: proc(5), SigCgt. */
async function isCatching(pid = 0): Promise<boolean> {
  const [, mask = "0"] = /^SigCgt:\s*(\w+)/m.exec(await readFile(`/proc/${pid}/status`, "utf8")) ?? [];
  return (BigInt(`0x${mask}`) & 1n) !== 0n;
}

/** An ADS server without TLS that answers everything with these bytes, or nothing. */
async function answerWith(bytes: Buffer | undefined) {
  const same = (value: Buffer): Buffer => value;
  const method = (name: string) => ({
    path: `/envoy.service.discovery.v3.AggregatedDiscoveryService/${name}`,
    ...{ requestStream: true, responseStream: true },
    ...{ requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same },
  });
  const ads = { sotw: method("StreamAggregatedResources"), delta: method("DeltaAggregatedResources") };
  const answer = (stream: ServerDuplexStream<Buffer, Buffer>): void =>
    void stream.on("data", () => bytes && stream.write(bytes));
  const server = new Server();
  server.addService(ads, { sotw: answer, delta: answer });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, at: number): void => (error === null ? resolve(at) : reject(error));
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), bound);
  });
  return { address: `127.0.0.1:${port}`, [Symbol.asyncDispose]: async () => server.forceShutdown() };
}

async function listenSilently() {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}
