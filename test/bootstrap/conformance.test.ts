import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { bootstrapOptions, nodeOptions, platformWords } from "../../src/agent/start-envoy/options.ts";
import { renderBootstrap } from "../../src/bootstrap/index.ts";
import { loadConfig } from "../../src/config/index.ts";
import { proxyConfigFromJson } from "../../src/istio/mesh/index.ts";
import { describeNode, discoverPlatform, type NodeDescription } from "../../src/node/index.ts";

// Cases of the reference, kept outside this repository: a folder with bootstrap/<case>/{input,expected}.json.
const asked = process.env.PILOTBOAT_CONFORMANCE;
const folder = join(asked ?? resolve("../shared/conformance"), "bootstrap");
const cases = existsSync(folder) ? readdirSync(folder) : [];
const isSkipped = asked === undefined && cases.length === 0;
if (isSkipped) {
  console.log(
    `The reference's bootstraps are not compared: there is no "${folder}", and PILOTBOAT_CONFORMANCE is not set`,
  );
}

describe.skipIf(isSkipped)(`the reference's bootstraps in ${folder}`, () => {
  test("are there", () => {
    expect(cases.length).toBeGreaterThan(0);
  });

  test.each(cases)("%s is equal", async (name) => {
    const read = (file: string) => JSON.parse(readFileSync(join(folder, name, file), "utf8"));
    expect(await render(read("input.json"))).toEqual(read("expected.json"));
  });
});

interface Input {
  readonly proxyConfig: Record<string, unknown>;
  readonly environment: Record<string, string>;
  readonly podAnnotations: Record<string, string>;
  readonly nodeId: string;
  readonly instanceIPs: readonly string[];
  readonly pilotSubjectAltNames: readonly string[];
  readonly agentVersion: string;
  readonly outlierLogPath: string;
  readonly envoyPrometheusPort: number;
  readonly envoyStatusPort: number;
  readonly workloadIdentitySocketFile: string;
  readonly envoySecureMetricsPort: number;
  readonly envoySecureMergedMetricsPort: number;
  readonly compliancePolicy: string;
}

/** What a case gives as a value of its own is a variable to us; where it says nothing, the reference's test has these. */
function variablesOf(input: Input): Record<string, string> {
  return {
    CLOUD_PLATFORM: "none",
    ENVOY_SKIP_DEPRECATED_LOGS: "false",
    ENVOY_PROMETHEUS_PORT: String(input.envoyPrometheusPort),
    ENVOY_STATUS_PORT: String(input.envoyStatusPort),
    ENVOY_SECURE_METRICS_PORT: String(input.envoySecureMetricsPort),
    ENVOY_SECURE_MERGED_METRICS_PORT: String(input.envoySecureMergedMetricsPort),
    WORKLOAD_IDENTITY_SOCKET_FILE: input.workloadIdentitySocketFile,
    COMPLIANCE_POLICY: input.compliancePolicy,
    ...input.environment,
  };
}

/** The reference's test gives some results of earlier steps as inputs, and prints two paths as constants. */
async function render(input: Input): Promise<unknown> {
  const [role = ""] = input.nodeId.split("~");
  const args = [role, `--outlierLogPath=${input.outlierLogPath}`, "--meshConfig=/dev/null"];
  const loaded = await loadConfig({ args, env: variablesOf(input), cwd: "/nowhere" });
  const config = { ...loaded.config, proxy: proxyConfigFromJson(input.proxyConfig) }; // a case has no defaults
  const options = { ...nodeOptions(config), instanceIp: "", istioVersion: input.agentVersion };
  const node = describeNode(options, {
    interfaceAddresses: input.instanceIPs.map((address) => ({ interface: "eth0", address })),
    podLabels: undefined,
    podAnnotations: new Map(Object.entries(input.podAnnotations)),
    platform: await discoverPlatform({ ...platformWords(config), isIpv6: false }),
    hasCredentialSocket: false,
    hasExternalSds: false,
  });
  const { document } = renderBootstrap(bootstrapOptions(config), withGiven(node, input));
  const text = JSON.stringify(document)
    .replaceAll(`"${config.proxy.configPath}/XDS"`, '"/tmp/XDS"')
    .replaceAll(`${config.proxy.configPath}/lightstep_access_token.txt`, "/test-path/lightstep_access_token.txt");
  return JSON.parse(text);
}

function withGiven(node: NodeDescription, input: Input): NodeDescription {
  const metadata = { ...node.metadata, PILOT_SAN: input.pilotSubjectAltNames };
  return { ...node, id: input.nodeId, metadata };
}
