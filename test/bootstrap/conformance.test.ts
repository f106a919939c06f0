import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { renderBootstrap } from "../../src/bootstrap/index.ts";
import { describeNode, type NodeDescription, UNKNOWN_PLATFORM } from "../../src/node/index.ts";
import { proxyConfigFromJson } from "../../src/proto/mesh/index.ts";

// Cases of the reference, kept outside this repository: a folder with bootstrap/<case>/{input,expected}.json.
const folder = join(process.env.PILOTBOAT_CONFORMANCE ?? resolve("../shared/conformance"), "bootstrap");
const cases = existsSync(folder) ? readdirSync(folder) : [];

describe.skipIf(cases.length === 0)(`the reference's bootstraps in ${folder}`, () => {
  test.each(cases)("%s is equal", (name) => {
    const read = (file: string) => JSON.parse(readFileSync(join(folder, name, file), "utf8"));
    expect(render(read("input.json"))).toEqual(read("expected.json"));
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

/** The reference's test gives some results of earlier steps as inputs, and prints two paths as constants. */
function render(input: Input): unknown {
  const proxy = proxyConfigFromJson(input.proxyConfig);
  const { environment } = input;
  const node = describeNode(
    {
      role: "sidecar",
      domain: "",
      proxy,
      metadataEnv: Object.entries(environment).filter(([name]) => name.startsWith("ISTIO_META")),
      podName: environment.POD_NAME,
      podNamespace: environment.POD_NAMESPACE,
      serviceAccount: environment.SERVICE_ACCOUNT,
      instanceIp: "",
      isDualStack: false,
      dnsProxyAddress: undefined,
      stsPort: 0,
      ports: {
        status: input.envoyStatusPort,
        prometheus: input.envoyPrometheusPort,
        secureMetrics: input.envoySecureMetricsPort,
        secureMergedMetrics: input.envoySecureMergedMetricsPort,
      },
      isExitOnZeroConnections: environment.EXIT_ON_ZERO_ACTIVE_CONNECTIONS === "true",
      peerMetadataDiscovery: undefined,
      skipDeprecatedLogs: false,
      workloadSocketFile: input.workloadIdentitySocketFile,
      outlierLogPath: input.outlierLogPath,
      version: input.agentVersion,
    },
    {
      interfaceAddresses: input.instanceIPs.map((address) => ({ interface: "eth0", address })),
      podLabels: undefined,
      podAnnotations: new Map(Object.entries(input.podAnnotations)),
      platform: UNKNOWN_PLATFORM,
      hasCredentialSocket: false,
      hasExternalSds: false,
    },
  );
  const { document } = renderBootstrap(
    {
      proxy,
      isLogJson: false,
      isDeltaXds: true,
      compliancePolicy: input.compliancePolicy,
      stripFragmentUnsafeIfDisabled: true,
      isStatusPortProxyProtocol: false,
      hostIp: environment.HOST_IP ?? "",
      outlierLogPath: input.outlierLogPath,
    },
    withGiven(node, input),
  );
  const text = JSON.stringify(document)
    .replaceAll(`"${proxy.configPath}/XDS"`, '"/tmp/XDS"')
    .replaceAll(`${proxy.configPath}/lightstep_access_token.txt`, "/test-path/lightstep_access_token.txt");
  return JSON.parse(text);
}

function withGiven(node: NodeDescription, input: Input): NodeDescription {
  const metadata = { ...node.metadata, PILOT_SAN: input.pilotSubjectAltNames };
  return { ...node, id: input.nodeId, metadata };
}
