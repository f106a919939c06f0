import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../../src/cli/bootstrap.ts";
import { replaceHostIp } from "../../src/config/bootstrap-override.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-template-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function render(template: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  await writeFile(join(folder, "t.json"), template);
  let out = "";
  const stream = { write: (text: string) => (out += text) } as unknown as NodeJS.WritableStream;
  const never = new AbortController().signal;
  await run(["render"], {
    env: { ISTIO_BOOTSTRAP: "t.json", POD_NAME: "web", POD_NAMESPACE: "shop", INSTANCE_IP: "10.1.1.1", ...env },
    cwd: folder,
    stdout: stream,
    stderr: stream,
    signals: { stop: never, hurry: never, force: never },
  });
  return out;
}

test.each([
  ["{{ .nodeID }} {{.nodeType}}", "sidecar~10.1.1.1~web.shop~shop.svc.cluster.local sidecar"],
  ["{{ .config.ProxyAdminPort }} {{ .config.ClusterName.ServiceCluster }}", "15000 istio-proxy"],
  ["{{ .config.DrainDuration.Seconds }}", "45"],
  ["{{ .metadata.Namespace }} {{ .nope }}", "shop <no value>"],
  ["a\n  {{- if .zipkin }} z {{- else if .statsd }} s {{- else }} none {{- end }}", "a none"],
  [
    "{{ range $i, $s := .inclusionSuffix }}{{ $i }}={{$s}};{{ end }}",
    "0=rbac.allowed;1=rbac.denied;2=shadow_allowed;3=shadow_denied;",
  ],
  ["{{ or .nope .localhost }} {{ and .nodeID .wildcard }}", "127.0.0.1 0.0.0.0"],
  [`{{ js "a'b<" }}`, "a\\'b\\u003C"],
  ["{{ toJson .config.ProxyMetadata }}", '{"A":"<b>"}'.replace("<", "\\u003c").replace(">", "\\u003e")],
  ['{{ index .config.ProxyMetadata "A" }} {{ .config.ProxyMetadata.A }}', "<b> <b>"],
  ['{{ default "d" .nope }} {{ upper "x" }} {{ "a,b" | splitList "," | join "-" }}', "d X a-b"],
  ["{{ .pilot_grpc_address }}", '{"address": "istiod.istio-system.svc", "port_value": 15012}'],
  ["{{ .xds_type }} {{ .envoy_status_port }} {{ .global_downstream_max_connections }}", "DELTA_GRPC 15021 2147483647"],
])("%s", async (template, expected) => {
  expect(await render(template, { PROXY_CONFIG: '{"proxyMetadata":{"A":"<b>"}}' })).toBe(expected);
});

test.each([
  ["{{ nosuch .x }}", "nosuch"],
  ["{{ if }}", "Cannot render"],
])("%s is refused, naming the file", async (template, text) => {
  await expect(render(template)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining(text),
  });
  await expect(render(template)).rejects.toThrow('bootstrap template "t.json"');
});

test.each([
  ["169.254.169.254", "[169.254.169.254]:8126 169.254.169.254:8126"],
  ["dead::beef", "[dead::beef]:8126 [dead::beef]:8126"],
  ["", "[]:8126 :8126"],
])("an override with HOST_IP %j", (hostIp, expected) => {
  expect(replaceHostIp("[$(HOST_IP)]:8126 $(HOST_IP):8126", hostIp)).toBe(expected);
});
