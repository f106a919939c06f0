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
  /** Only this object. */
  readonly name?: string;
}

/** Everything that the commands ask of an API server. docs/cluster.md is checked against it. */
export const RIGHTS: readonly Right[] = [
  { command: "credentials", where: "workload", group: "", resource: "serviceaccounts/token", verbs: ["create"] },
  {
    command: "credentials",
    where: "workload",
    group: "",
    resource: "configmaps",
    verbs: ["get"],
    name: "istio-ca-root-cert",
  },
  { command: "connect", where: "istio", group: "", resource: "pods", verbs: ["list"] },
  { command: "connect", where: "istio", group: "", resource: "pods/portforward", verbs: ["get", "create"] },
  { command: "connect", where: "istio", group: "", resource: "services", verbs: ["list"] },
  { command: "use-local-istiod", where: "istio", group: "", resource: "services", verbs: ["get", "patch"] },
  { command: "use-local-istiod", where: "istio", group: "", resource: "endpoints", verbs: ["get", "create", "delete"] },
  {
    command: "use-local-istiod",
    where: "istio",
    group: "discovery.k8s.io",
    resource: "endpointslices",
    verbs: ["list", "get", "create", "delete"],
  },
  { command: "clone", where: "workload", group: "", resource: "pods", verbs: ["get", "list"] },
  { command: "clone", where: "workload", group: "", resource: "services", verbs: ["get"] },
  { command: "clone", where: "workload", group: "", resource: "configmaps", verbs: ["get"] },
  { command: "clone", where: "workload", group: "apps", resource: "deployments", verbs: ["get"] },
  { command: "clone", where: "istio", group: "", resource: "configmaps", verbs: ["get"] },
  { command: "gateway", where: "workload", group: "", resource: "pods", verbs: ["list"] },
  { command: "gateway", where: "workload", group: "", resource: "services", verbs: ["list"] },
  { command: "gateway", where: "workload", group: "apps", resource: "deployments", verbs: ["list"] },
  { command: "gateway", where: "workload", group: "networking.istio.io", resource: "gateways", verbs: ["get", "list"] },
  {
    command: "gateway",
    where: "workload",
    group: "networking.istio.io",
    resource: "virtualservices",
    verbs: ["get", "list"],
  },
  {
    command: "gateway",
    where: "workload",
    group: "gateway.networking.k8s.io",
    resource: "gateways",
    verbs: ["get", "list"],
  },
  {
    command: "gateway",
    where: "workload",
    group: "gateway.networking.k8s.io",
    resource: "httproutes",
    verbs: ["get", "list"],
  },
];
