import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLUSTER_TYPE } from "../../src/control-plane/ads/resource-types.ts";
import { connect, node, streamTo } from "../control-plane/rig.ts";
import { findIstioctl, runIstioctl } from "../support/istioctl.ts";
import { type RunningCommand, run, runtimes } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";

// What istioctl asks an istiod itself is in test/cluster: it wants a Kubernetes API.
const istioctl = findIstioctl();

/** What the subcommands of `istioctl proxy-config` read of a dump, and a word of the quickstart that each shows. */
const SHOWN = [
  ["bootstrap", /"id": "sidecar~127\.0\.0\.1~quickstart\.default~/],
  ["clusters", /^xds-grpc +.*STATIC/m],
  ["listeners", /OUTBOUND_PORT/],
  ["secret", /^default +Cert Chain +ACTIVE +true[\s\S]*^ROOTCA +CA +ACTIVE +true/m],
] as const;

describe.each(runtimes())("istioctl and an agent on $name", (runtime) => {
  let sandbox: Sandbox;
  const commands: RunningCommand[] = [];
  let dump: string;
  beforeAll(async () => {
    sandbox = await createSandbox(runtime);
    await mkdir(join(sandbox.folder, "certs"));
    commands.push(await sandbox.startControlPlane());
    const proxy = await sandbox.startProxy({ env: { OUTPUT_CERTS: "certs" } });
    commands.push(proxy);
    await proxy.waitFor(/\tStart: .*ready \d+ ms/);
    dump = await fetch(`http://127.0.0.1:${sandbox.ports.admin}/config_dump`).then((answer) => answer.text());
    await writeFile(join(sandbox.folder, "dump.json"), dump);
  });
  afterAll(async () => {
    for (const command of commands) await command[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
  });

  test.runIf(istioctl !== undefined)(
    "reality 42: proxy-config --file shows the whole of Envoy's configuration",
    async () => {
      for (const [what, wanted] of SHOWN) {
        const words = ["proxy-config", what, "--file", join(sandbox.folder, "dump.json")];
        const pattern = new RegExp(
          wanted.source.replace("OUTBOUND_PORT", String(sandbox.ports.outbound)),
          wanted.flags,
        );
        expect(await runIstioctl(istioctl ?? "", words)).toMatch(pattern);
      }
    },
  );

  /** By the name of a file: which dump, and what its remedy says. */
  const dumps = {
    "dump.json": {
      text: async () => dump,
      remedy: /jq '\.configs\[\] \| select\(\.bootstrap\)\.bootstrap' dump\.json/,
    },
    ...(istioctl !== undefined && {
      "shown.json": { text: () => shown("json"), remedy: /jq \.bootstrap shown\.json/ },
      "shown.yaml": { text: () => shown("yaml"), remedy: /jq \.bootstrap shown\.yaml/ },
    }),
  };
  const shown = (form: string) =>
    runIstioctl(istioctl ?? "", ["proxy-config", "bootstrap", "--file", join(sandbox.folder, "dump.json"), "-o", form]);

  test.each(Object.entries(dumps))(
    "%s in place of a bootstrap is refused, with what to do",
    async (file, { text, remedy }) => {
      const cwd = await mkdtemp(join(sandbox.folder, "dumped-"));
      await writeFile(join(cwd, file), await text());
      const env = { INSTANCE_IP: "127.0.0.1", CLOUD_PLATFORM: "none", ENVOY_BIN: await realEnvoy() };
      const custom = { ...env, PROXY_CONFIG: JSON.stringify({ customConfigFile: file }) };
      const template = { ...env, PROXY_CONFIG: JSON.stringify({ proxyBootstrapTemplatePath: file }) };
      for (const [words, given] of [
        [["proxy", "sidecar"], custom],
        [["bootstrap", "render"], custom],
        [["bootstrap", "validate"], template],
        [["bootstrap", "validate", file], env],
      ] as const) {
        const { code, stdout, stderr } = await run(runtime, words, { cwd, env: given });
        expect(code).toBe(2);
        expect(stdout + stderr).toMatch(/it is a dump of Envoy's configuration, as .* prints it, wanted a bootstrap/);
        expect(stdout + stderr).toMatch(remedy);
      }
      const override = { ...env, ISTIO_BOOTSTRAP_OVERRIDE: file };
      expect((await run(runtime, ["bootstrap", "render"], { cwd, env: override })).stderr).toMatch(remedy);
    },
  );

  test("reality 42: a configuration dump has the parts that proxy-config --file reads, accepted and current", () => {
    const { configs } = JSON.parse(dump) as { configs: Dump[] };
    const part = (name: string) => configs.find((config) => config["@type"].endsWith(`.${name}`)) as Dump;
    expect(part("BootstrapConfigDump").bootstrap.node.id).toMatch(/^sidecar~127\.0\.0\.1~quickstart\.default~/);
    const { dynamic_active_clusters: clusters, dynamic_warming_clusters: warming = [] } = part("ClustersConfigDump");
    expect([clusters.length > 0, warming]).toEqual([true, []]);
    for (const { active_state: active, error_state: error } of part("ListenersConfigDump").dynamic_listeners) {
      expect([typeof active?.version_info, error]).toEqual(["string", undefined]);
    }
    const secrets = part("SecretsConfigDump").dynamic_active_secrets;
    expect(secrets.map(({ name }) => name).sort()).toEqual(["ROOTCA", "default"]);
    expect(dump).not.toContain("PRIVATE KEY");
  });

  test("reality 42: OUTPUT_CERTS is a --cert-dir: its files open the control plane, under istiod's name, without a token", async () => {
    const read = (name: string) => readFile(join(sandbox.folder, "certs", name), "utf8");
    await expect.poll(() => read("root-cert.pem").catch(() => "")).toContain("BEGIN CERTIFICATE");
    const [certificate, key, root] = await Promise.all(["cert-chain.pem", "key.pem", "root-cert.pem"].map(read));
    const { controlPlane: port } = sandbox.ports;
    const servername = "istiod.istio-system.svc";
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      servername,
      ALPNProtocols: ["h2"],
      ca: root,
      cert: certificate,
      key,
    });
    const shown = await new Promise<TLSSocket>((done, fail) => {
      socket.once("secureConnect", () => done(socket)).once("error", fail);
    });
    expect([shown.authorized, shown.alpnProtocol]).toEqual([true, "h2"]);
    socket.destroy();
    const client = connect(port, root ?? "", { certificate: certificate ?? "", key: key ?? "" });
    try {
      const stream = streamTo(client);
      const { metadata } = node();
      stream.send({
        node: { ...node(), metadata: { ...metadata, SERVICE_ACCOUNT: "quickstart" } },
        typeUrl: CLUSTER_TYPE,
      });
      expect((await stream.next()).resources.length).toBeGreaterThan(0);
      stream.cancel();
    } finally {
      client.close();
    }
  });
});

/** The parts of Envoy's `ConfigDump` that are looked at. Source: envoy/admin/v3/config_dump.proto. */
interface Dump {
  readonly "@type": string;
  readonly bootstrap: { readonly node: { readonly id: string } };
  readonly dynamic_active_clusters: readonly unknown[];
  readonly dynamic_warming_clusters?: readonly unknown[];
  readonly dynamic_listeners: readonly {
    readonly active_state?: { readonly version_info: string };
    readonly error_state?: unknown;
  }[];
  readonly dynamic_active_secrets: readonly { readonly name: string }[];
}
