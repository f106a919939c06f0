/** What a command may have to do, as RBAC says it. */
export interface Right {
  /** The command that needs it; docs/cluster.md has a Role of the same name. */
  readonly command: string;
  /** Of which namespace: the sidecar's, istiod's, or of none. */
  readonly where: "workload" | "istio" | "cluster";
  readonly group: string;
  /** With its subresource: `pods/portforward`. */
  readonly resource: string;
  readonly verbs: readonly string[];
  /** Only this object. Default: all. */
  readonly name?: (places: RightsPlaces) => string;
  /** What the command does, or cannot do, without it. Undefined: it gets nowhere. */
  readonly without?: string;
}

/** Whose rights are asked for, and where. */
export interface RightsPlaces {
  readonly workloadNamespace: string;
  readonly serviceAccount: string;
  readonly istioNamespace: string;
  /** Default: `default`. */
  readonly revision: string | undefined;
}

const ISTIO = "networking.istio.io";
const API = "gateway.networking.k8s.io";

/** Everything that the commands ask of an API server. docs/cluster.md is checked against it. */
export const RIGHTS: readonly Right[] = [
  ...of("credentials", "workload", [
    { resource: "serviceaccounts/token", verbs: ["create"], name: ({ serviceAccount }) => serviceAccount },
    {
      ...{ resource: "configmaps", verbs: ["get"], name: () => "istio-ca-root-cert" },
      without: "the root is looked for in Secrets",
    },
  ]),
  ...of("connect", "istio", [
    { resource: "pods", verbs: ["list"] },
    { resource: "pods/portforward", verbs: ["create"] },
    { resource: "pods/portforward", verbs: ["get"], without: "SPDY takes the place of the WebSocket" },
    { resource: "services", verbs: ["list"], without: "port 15012 of the pod is taken" },
  ]),
  ...of("use-local-istiod", "istio", [
    { resource: "services", verbs: ["get", "patch"], name: ({ revision }) => istiodService(revision) },
    { resource: "endpoints", verbs: ["get", "create", "delete"] },
    { group: "discovery.k8s.io", resource: "endpointslices", verbs: ["list", "get", "create", "delete"] },
  ]),
  ...of("clone", "workload", [
    { resource: "pods", verbs: ["get"] },
    { resource: "pods", verbs: ["list"], without: "only pods are cloned, by their names" },
    { resource: "services", verbs: ["get"], without: "there is no clone of svc/NAME" },
    { resource: "configmaps", verbs: ["get"], without: "variables from ConfigMaps are left out" },
    { group: "apps", resource: "deployments", verbs: ["get"], without: "there is no clone of deploy/NAME" },
  ]),
  ...of("clone", "istio", [
    { resource: "configmaps", verbs: ["get"], without: "Istio's own defaults hold for pods without a sidecar" },
  ]),
  ...of("gateway", "workload", [
    { resource: "pods", verbs: ["list"], without: "--service-account is needed" },
    { resource: "services", verbs: ["list"], without: "ports are taken for those of the pod" },
    {
      group: "apps",
      resource: "deployments",
      verbs: ["list"],
      without: "a gateway without pods has no labels of its own",
    },
    { group: ISTIO, resource: "gateways", verbs: ["get"] },
    { group: ISTIO, resource: "gateways", verbs: ["list"], without: "near names are not told" },
    { group: ISTIO, resource: "virtualservices", verbs: ["list"], without: "curl lines for their hosts are missing" },
    { group: API, resource: "gateways", verbs: ["get"], without: "only Istio's Gateways are found" },
    { group: API, resource: "gateways", verbs: ["list"], without: "near names are not told" },
    { group: API, resource: "httproutes", verbs: ["list"], without: "curl lines for their hosts are missing" },
  ]),
];

type Rule = Omit<Right, "command" | "where" | "group"> & { readonly group?: string };

function of(command: string, where: Right["where"], rules: readonly Rule[]): readonly Right[] {
  return rules.map(({ group = "", ...rule }) => ({ command, where, group, ...rule }));
}

/** The Service of a revision of istiod, in Istio's charts. */
function istiodService(revision = "default"): string {
  return revision === "default" ? "istiod" : `istiod-${revision}`;
}
