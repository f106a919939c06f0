import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect as connectTo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { type FakeKubeApi, startFakeKubeApi, tokenFor } from "../support/fake-kube-api.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { createTestCa } from "../support/test-ca.ts";

// Which proof of identity arrives at an API server, and by which way. The real one is in test/cluster.

describe.each(runtimes())("the kubeconfig, on $name", { timeout: 60_000 }, (runtime) => {
  let api: FakeKubeApi;
  let folder: string;
  let before = 0;

  beforeAll(async () => {
    api = await startFakeKubeApi();
    folder = await mkdtemp(join(tmpdir(), "pb-kubeconfig-"));
    await writeFile(join(folder, "ca.crt"), api.ca.certPem);
  });
  beforeEach(() => {
    before = api.seen.length;
    api.refuse(() => false);
  });
  afterAll(async () => {
    await api?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const write = (name: string, content: object): Promise<string> =>
    writeFile(join(folder, name), JSON.stringify(content), { mode: 0o600 }).then(() => join(folder, name));
  const server = (more = {}) => ({
    server: `https://127.0.0.1:${api.port}`,
    "certificate-authority": "ca.crt",
    ...more,
  });
  const config = (user: object, cluster: object = server()) => ({
    "current-context": "one",
    contexts: [{ name: "one", context: { cluster: "c", user: "u" } }],
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user }],
  });
  const credentials = async (content: object, env: Record<string, string> = {}) => {
    const file = await write("config", content);
    return run(runtime, ["credentials", "--run-folder", join(folder, "run")], {
      env: { KUBECONFIG: file, ...env },
      cwd: folder,
    });
  };
  const seen = () => api.seen.slice(before);

  test("a client certificate arrives, from data and from files", async () => {
    const { certPem, keyPem } = await api.ca.issue({ subject: "CN=jane" });
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    const data = { "client-certificate-data": base64(certPem), "client-key-data": base64(keyPem) };
    expect(await credentials(config(data))).toMatchObject({ code: 0, stderr: "" });
    await writeFile(join(folder, "jane.crt"), certPem);
    await writeFile(join(folder, "jane.key"), keyPem, { mode: 0o600 });
    expect((await credentials(config({ "client-certificate": "jane.crt", "client-key": "jane.key" }))).code).toBe(0);
    expect(seen().map(({ client }) => client)).toEqual(["jane", "jane", "jane", "jane"]);
  });

  test("a token file goes before a token; groups of impersonation are headers of their own", async () => {
    await writeFile(join(folder, "token"), "from-file\n");
    await credentials(config({ token: "fixed", tokenFile: "token", as: "joe", "as-groups": ["a", "b"] }));
    expect(seen()[0]).toMatchObject({ authorization: "Bearer from-file", groups: "a, b" });
  });

  test("an exec plugin is run with the cluster, once, and again after a 401", async () => {
    const plugin = join(folder, "plugin.sh");
    await writeFile(plugin, PLUGIN);
    await chmod(plugin, 0o755);
    const exec = { apiVersion: EXEC, command: "./plugin.sh", args: ["get-token"], provideClusterInfo: true, env: null };
    const told = { FOLDER: folder };
    expect(await credentials(config({ exec }), told)).toMatchObject({ code: 0, stderr: "plugin was here\n" });
    expect(seen().map(({ authorization }) => authorization)).toEqual(["Bearer run-1", "Bearer run-1"]);
    api.refuse(({ authorization }) => authorization === "Bearer run-2");
    expect((await credentials(config({ exec }), told)).code).toBe(0);
    expect(seen().at(-1)?.authorization).toBe("Bearer run-3");
  });

  test("a plugin that is missing or fails is named with its remedy", async () => {
    const exec = { apiVersion: EXEC, command: "no-such-plugin", installHint: "Install it\n  from there" };
    const missing = await credentials(config({ exec }));
    expect(missing.stderr).toMatch(
      /plugin "no-such-plugin": it is not in PATH \[KUBE_CREDENTIALS\]\n {2}hint: Install it from there/,
    );
    const failing = await credentials(config({ exec: { apiVersion: EXEC, command: "false" } }));
    expect(failing.stderr).toMatch(/from the plugin "false": it ended with exit code 1 \[KUBE_CREDENTIALS\]/);
    const old = await credentials(
      config({ exec: { apiVersion: "client.authentication.k8s.io/v1alpha1", command: "aws" } }),
    );
    expect(old).toMatchObject({ code: 2 });
    expect(old.stderr).toContain('its apiVersion is "client.authentication.k8s.io/v1alpha1"');
    expect(seen()).toEqual([]);
  });

  test("an expired token is told as such, a token never", async () => {
    api.refuse(() => true);
    const expired = tokenFor(-60);
    const { stderr } = await credentials(config({ token: expired }));
    expect(stderr).toMatch(/the token of user "u" has expired at \d{4}-.* \[KUBE_UNAUTHENTICATED\]/);
    expect(stderr).not.toContain(expired);
  });

  test("of several files the first entry of a name counts, and a missing file is passed over", async () => {
    const first = await write("first", { users: [{ name: "u", user: { token: "first" } }] });
    const second = await write("second", config({ token: "second" }));
    const env = { KUBECONFIG: [first, join(folder, "none"), second].join(delimiter) };
    expect((await run(runtime, ["credentials", "--run-folder", join(folder, "run")], { env })).code).toBe(0);
    expect(seen()[0]?.authorization).toBe("Bearer first");
    const wrong = await run(runtime, ["credentials", "--context", "two"], { env });
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.stderr).toMatch(/Cannot find context "two" in ".*\n {2}hint: There are: one/);
  });

  test("the API server's certificate is verified, for its name, unless that is turned off", async () => {
    const { certPem } = await createTestCa("other");
    const other = { "certificate-authority-data": Buffer.from(certPem).toString("base64") };
    const foreign = await credentials(config({ token: "t" }, server(other)));
    expect(foreign.stderr).toMatch(
      /\[KUBE_UNREACHABLE\]\n {2}hint: Its certificate is not signed by the certificate authority of context "one"/,
    );
    const named = await credentials(config({ token: "t" }, server({ "tls-server-name": "other.test" })));
    expect(named.stderr).toMatch(/hint: Its certificate is for another name/);
    expect(seen()).toEqual([]);
    expect((await credentials(config({ token: "t" }, server({ "tls-server-name": "kube.test" })))).code).toBe(0);
    expect(
      (await credentials(config({ token: "t" }, { ...server(other), "insecure-skip-tls-verify": true }))).code,
    ).toBe(0);
  });

  test("HTTPS_PROXY and proxy-url are used, over HTTP and SOCKS5", async () => {
    await using proxy = await startConnectProxy({ [`kube.test:${api.port}`]: api.port });
    const cluster = server({ server: `https://kube.test:${api.port}` });
    const env = { HTTPS_PROXY: `http://me:secret@${proxy.address}` };
    expect(await credentials(config({ token: "t" }, cluster), env)).toMatchObject({ code: 0, stderr: "" });
    expect(proxy.asked[0]).toEqual({ target: `kube.test:${api.port}`, authorization: `Basic ${btoa("me:secret")}` });
    await using socks = await startSocksProxy(api.port);
    const url = { "proxy-url": `socks5://127.0.0.1:${socks.port}` };
    expect(await credentials(config({ token: "t" }, { ...cluster, ...url }))).toMatchObject({ code: 0, stderr: "" });
    expect(socks.asked[0]).toBe("kube.test");
  });

  test("without a kubeconfig it says what to give", async () => {
    const none = await run(runtime, ["credentials"], { env: { HOME: folder }, cwd: folder });
    expect(none).toMatchObject({ code: 2 });
    expect(none.stderr).toMatch(
      /there is no kubeconfig, and this is no pod \[KUBECONFIG_MISSING\]\n {2}hint: Give --kubeconfig/,
    );
  });
});

const EXEC = "client.authentication.k8s.io/v1";

/** Counts its runs in a file, and fails without the cluster. */
const PLUGIN = `#!/bin/sh
case "$KUBERNETES_EXEC_INFO" in *'"server":"https://127.0.0.1:'*) ;; *) exit 3 ;; esac
[ "$1" = get-token ] || exit 4
echo run >> "$FOLDER/runs"
echo plugin was here >&2
echo '{"kind":"ExecCredential","apiVersion":"${EXEC}","status":{"token":"run-'$(grep -c run "$FOLDER/runs")'"}}'
`;

/** SOCKS5 without a login, for names; whatever is asked for, it leads to `port`. */
async function startSocksProxy(port: number) {
  const asked: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((client) => {
    open.add(client);
    client.on("error", () => undefined);
    client.once("data", () => {
      client.write(Buffer.from([5, 0]));
      client.once("data", (request: Buffer) => {
        asked.push(request.toString("latin1", 5, 5 + (request[4] ?? 0)));
        const upstream = connectTo(port, "127.0.0.1", () => {
          client.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
          client.pipe(upstream).pipe(client);
        });
        upstream.on("error", () => undefined);
      });
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async [Symbol.asyncDispose]() {
      for (const client of open) client.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
