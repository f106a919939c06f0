import { isTree, type Tree } from "../pod/json.ts";

/** What Istio's charts say without settings of anybody, as far as the built-in templates ask. */
const USUAL: Tree = {
  revision: "",
  global: {
    caAddress: "",
    imagePullPolicy: "",
    imagePullSecrets: [],
    istioNamespace: "istio-system",
    logAsJson: false,
    logging: { level: "default:info" },
    meshID: "",
    multiCluster: { clusterName: "" },
    network: "",
    pilotCertProvider: "istiod",
    proxy: {
      clusterDomain: "cluster.local",
      componentLogLevel: "misc:error",
      excludeIPRanges: "",
      excludeInboundPorts: "",
      excludeOutboundPorts: "",
      includeIPRanges: "*",
      includeInboundPorts: "*",
      includeOutboundPorts: "",
      logLevel: "warning",
      outlierLogPath: "",
      privileged: false,
      readinessFailureThreshold: 4,
      readinessInitialDelaySeconds: 0,
      readinessPeriodSeconds: 15,
      resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "2", memory: "1Gi" } },
      startupProbe: { enabled: true, failureThreshold: 600 },
      statusPort: 15_020,
    },
    proxy_init: { forceApplyIptables: false },
    nativeNftables: false,
    sds: { token: { aud: "istio-ca" } },
    sts: { servicePort: 0 },
  },
  pilot: { cni: { enabled: false }, env: {} },
  sidecarInjectorWebhook: { rewriteAppHTTPProbe: true },
};

/** The usual values with `own` over them: mappings merge, everything else replaces. */
export function builtInValues(own: Tree): Tree {
  return over(USUAL, own);
}

function over(below: Tree, above: Tree): Tree {
  const entries = Object.entries(above).map(([key, value]) => {
    const usual = below[key];
    return [key, isTree(usual) && isTree(value) ? over(usual, value) : value];
  });
  return { ...below, ...Object.fromEntries(entries) };
}
