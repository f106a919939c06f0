/** One object of the API, or a collection when it has no name. */
export interface KubeResource {
  /** Its plural: `configmaps`. */
  readonly resource: string;
  /** Default `v1`; else `group/version`. */
  readonly apiVersion?: string;
  /** Undefined for what is in no namespace, and for all namespaces. */
  readonly namespace?: string | undefined;
  readonly name?: string;
  /** `token`, `portforward`. */
  readonly subresource?: string;
}

/** The path of its URL, below the server's own prefix. */
export function pathOf({ apiVersion = "v1", resource, namespace, name, subresource }: KubeResource): string {
  const root = apiVersion.includes("/") ? ["apis", ...apiVersion.split("/")] : ["api", apiVersion];
  const place = namespace === undefined ? [] : ["namespaces", namespace];
  const parts = [...root, ...place, resource, name, subresource].filter((part) => part !== undefined);
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

const WORDS: Readonly<Record<string, string>> = {
  configmaps: "ConfigMap",
  secrets: "Secret",
  serviceaccounts: "service account",
  pods: "pod",
  services: "service",
  endpoints: "Endpoints",
  endpointslices: "EndpointSlice",
  deployments: "deployment",
  namespaces: "namespace",
};

/** For people: `service account "web" in namespace "shop"`, `pods in namespace "shop"`. */
export function describeResource({ resource, namespace, name }: KubeResource): string {
  const place = namespace === undefined ? "" : ` in namespace "${namespace}"`;
  return `${name === undefined ? resource : `${WORDS[resource] ?? resource} "${name}"`}${place}`;
}

/** The same without the place. */
export function kindOf({ resource }: KubeResource): string {
  return WORDS[resource] ?? resource;
}

/** As RBAC names it: `serviceaccounts/token`. */
export function rbacName({ resource, subresource }: KubeResource): string {
  return subresource === undefined ? resource : `${resource}/${subresource}`;
}
