import { describeError } from "../../base/index.ts";
import type { InjectionConfig, PodTemplate, TemplateData } from "../pod/injector.ts";
import { type Tree, treeOf } from "../pod/json.ts";
import { environmentOf } from "./environment.ts";
import { commonMetadata, type Facts, factsOf, imageFor, pullPolicyOf, resourcesOf } from "./facts.ts";
import { cniAnnotations, redirectionOf } from "./redirection.ts";
import { mountsOf, volumesOf } from "./volumes.ts";

/** Injection without templates of a cluster: `sidecar`, which is the default, and `gateway`, in pilotboat's own words. */
export const BUILT_IN: InjectionConfig = {
  policy: "enabled",
  defaultTemplates: ["sidecar"],
  aliases: new Map(),
  neverInject: [],
  alwaysInject: [],
  injectedAnnotations: {},
  templates: new Map([
    ["sidecar", template("sidecar", sidecar)],
    ["gateway", template("gateway", gateway)],
  ]),
};

function template(name: string, render: (data: TemplateData) => Tree): PodTemplate {
  return async (data) => {
    try {
      return render(data);
    } catch (error) {
      throw new Error(`template "${name}": ${describeError(error)}`, { cause: error });
    }
  };
}

const MOST_NAME_LENGTH = 63;

function sidecar(data: TemplateData): Tree {
  const facts = factsOf(data);
  const { labels, annotations } = commonMetadata(facts, MOST_NAME_LENGTH);
  const isHbone = data.proxy.proxyMetadata.ISTIO_META_ENABLE_HBONE === "true";
  const proxy = sidecarContainer(facts);
  const inits = redirectionOf(facts);
  return {
    metadata: {
      labels: {
        "security.istio.io/tlsMode": facts.labels["security.istio.io/tlsMode"] || "istio",
        ...(isHbone && { "networking.istio.io/tunnel": facts.labels["networking.istio.io/tunnel"] || "http" }),
        ...labels,
      },
      annotations: { ...annotations, ...(facts.hasCni && cniAnnotations(facts)) },
    },
    spec: {
      initContainers: facts.isNative ? [...inits, { ...proxy, restartPolicy: "Always" }] : inits,
      ...(!facts.isNative && { containers: [proxy] }),
      volumes: volumesOf(facts, "sidecar"),
      ...pullSecretsOf(facts),
    },
  };
}

function sidecarContainer(facts: Facts): Tree {
  const { proxy, global } = facts;
  return {
    ...container(facts, "sidecar"),
    args: [
      ...argumentsOf(facts, "sidecar"),
      ...(global.logAsJson === true ? ["--log_as_json"] : []),
      ...(proxy.outlierLogPath ? [`--outlierLogPath=${proxy.outlierLogPath}`] : []),
    ],
    ...lifecycleOf(facts),
    ...(facts.statusPort !== "0" && probesOf(facts)),
    securityContext: securityOf(facts),
    resources: resourcesOf(facts),
  };
}

/** The mesh's own, or the application waits for the proxy, or the proxy of a native sidecar drains before the end. */
function lifecycleOf({ data, proxy, isNative, statusPort }: Facts): Tree {
  const command = (...words: readonly string[]): Tree => ({ exec: { command: ["pilot-agent", ...words] } });
  if (proxy.lifecycle) return { lifecycle: proxy.lifecycle };
  if (isNative) return { lifecycle: { preStop: command("request", `--debug-port=${statusPort}`, "POST", "drain") } };
  const doesHold = data.proxy.holdApplicationUntilProxyStarts || proxy.holdApplicationUntilProxyStarts;
  return doesHold ? { lifecycle: { postStart: command("wait") } } : {};
}

/** Where Envoy says whether it is ready. */
const READY = { path: "/healthz/ready", port: 15_021 };

function probesOf({ annotation, proxy }: Facts): Tree {
  const number = (name: string, usual: unknown): number =>
    Number(annotation(`readiness.status.sidecar.istio.io/${name}`, usual));
  const startup = treeOf(proxy.startupProbe);
  const { failureThreshold } = startup;
  return {
    ...(startup.enabled === true && {
      startupProbe: { httpGet: READY, periodSeconds: 1, timeoutSeconds: 3, failureThreshold },
    }),
    readinessProbe: {
      httpGet: READY,
      initialDelaySeconds: number("initialDelaySeconds", proxy.readinessInitialDelaySeconds),
      periodSeconds: number("periodSeconds", proxy.readinessPeriodSeconds),
      timeoutSeconds: 3,
      failureThreshold: number("failureThreshold", proxy.readinessFailureThreshold),
    },
  };
}

function securityOf({ data, annotations, proxy, mode }: Facts): Tree {
  const isTproxy = mode === "TPROXY";
  const mayBind = annotations["sidecar.istio.io/capNetBindService"] === "true";
  const isTraced = data.proxy.proxyMetadata.IPTABLES_TRACE_LOGGING === "true";
  const isRoot = isTproxy || mayBind || isTraced;
  const add = isTraced ? ["NET_ADMIN"] : [...(isTproxy ? ["NET_ADMIN"] : []), ...(mayBind ? ["NET_BIND_SERVICE"] : [])];
  return {
    allowPrivilegeEscalation: isTraced || proxy.privileged,
    privileged: isTraced || proxy.privileged,
    capabilities: { ...(add.length > 0 && { add }), drop: ["ALL"] },
    readOnlyRootFilesystem: true,
    ...{ runAsUser: isRoot ? 0 : 1337, runAsGroup: 1337, runAsNonRoot: !isRoot },
    ...(proxy.seccompProfile ? { seccompProfile: proxy.seccompProfile } : {}),
  };
}

function gateway(data: TemplateData): Tree {
  const facts = factsOf(data);
  const { proxy, global } = facts;
  const { securityContext } = treeOf(data.values.gateways);
  const hasSecurity = Object.keys(treeOf(securityContext)).length > 0;
  const unprivileged = { sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }] };
  const number = (name: string): number => Number(proxy[name]);
  const readinessProbe = {
    httpGet: READY,
    initialDelaySeconds: number("readinessInitialDelaySeconds"),
    periodSeconds: number("readinessPeriodSeconds"),
    timeoutSeconds: 3,
    failureThreshold: number("readinessFailureThreshold"),
  };
  return {
    metadata: commonMetadata(facts),
    spec: {
      securityContext: hasSecurity ? securityContext : unprivileged,
      containers: [
        {
          ...container(facts, "gateway"),
          args: [...argumentsOf(facts, "gateway"), ...(global.logAsJson === true ? ["--log_as_json"] : [])],
          ...(proxy.lifecycle ? { lifecycle: proxy.lifecycle } : {}),
          securityContext: { runAsUser: 1337, runAsGroup: 1337 },
          readinessProbe,
        },
      ],
      volumes: volumesOf(facts, "gateway"),
      ...pullSecretsOf(facts),
    },
  };
}

function container(facts: Facts, of: "sidecar" | "gateway"): Tree {
  return {
    name: "istio-proxy",
    image: imageFor(facts, facts.data.proxyImage),
    ports: [{ containerPort: 15_090, protocol: "TCP", name: "http-envoy-prom" }],
    env: environmentOf(facts, of),
    volumeMounts: mountsOf(facts, of),
    ...pullPolicyOf(facts),
  };
}

function argumentsOf({ annotation, proxy, global }: Facts, of: "sidecar" | "gateway"): readonly string[] {
  const stsPort = treeOf(global.sts).servicePort;
  return [
    ...["proxy", of === "sidecar" ? "sidecar" : "router", "--domain", `$(POD_NAMESPACE).svc.${proxy.clusterDomain}`],
    `--proxyLogLevel=${annotation("sidecar.istio.io/logLevel", proxy.logLevel)}`,
    `--proxyComponentLogLevel=${annotation("sidecar.istio.io/componentLogLevel", proxy.componentLogLevel)}`,
    `--log_output_level=${annotation("sidecar.istio.io/agentLogLevel", treeOf(global.logging).level)}`,
    ...(stsPort ? [`--stsPort=${stsPort}`] : []),
  ];
}

function pullSecretsOf({ global }: Facts): Tree {
  const { imagePullSecrets: names } = global;
  if (!Array.isArray(names) || names.length === 0) return {};
  return { imagePullSecrets: names.map((name) => ({ name: String(name) })) };
}
