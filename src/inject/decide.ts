import type { InjectionConfig } from "./pod/injector.ts";
import { type Tree, textsOf, treeOf, treesOf } from "./pod/json.ts";

/** Undefined when the pod is to be injected; else why not, for people: `it uses the host's network`. */
export function reasonNotToInject(
  pod: Tree,
  config: InjectionConfig,
  warn: (message: string) => void,
): string | undefined {
  const metadata = treeOf(pod.metadata);
  if (treeOf(pod.spec).hostNetwork === true) return "it uses the host's network";
  if (IGNORED_NAMESPACES.has(String(metadata.namespace)))
    return `nothing is injected in namespace "${metadata.namespace}"`;
  const labels = textsOf(metadata.labels);
  const asked = labels[SWITCH] ?? textsOf(metadata.annotations)[SWITCH] ?? "";
  const from = labels[SWITCH] === undefined ? "annotation" : "label";
  if (config.policy !== "enabled" && config.policy !== "disabled") return `the injector's policy is "${config.policy}"`;
  if (asked === "true") return undefined;
  if (asked === "false") return `${from} ${SWITCH} is "false"`;
  if (asked !== "") warn(`${from} ${SWITCH} is "${asked}", wanted true or false; it is ignored`);
  if (config.neverInject.some((selector) => matches(selector, labels)))
    return "a neverInjectSelector of the injector matches it";
  if (config.alwaysInject.some((selector) => matches(selector, labels))) return undefined;
  return config.policy === "enabled" ? undefined : `the injector's policy is "disabled"`;
}

const SWITCH = "sidecar.istio.io/inject";

/** Source: istio/istio pkg/kube/inject/initializer.go. */
const IGNORED_NAMESPACES = new Set(["kube-system", "kube-public", "kube-node-lease", "local-path-storage"]);

/** As a LabelSelector of Kubernetes, except that an empty one and one that is not valid match nothing. */
function matches(selector: Tree, labels: Readonly<Record<string, string>>): boolean {
  const wanted = Object.entries(textsOf(selector.matchLabels));
  const expressions = treesOf(selector.matchExpressions);
  if (wanted.length + expressions.length === 0) return false;
  return wanted.every(([key, value]) => labels[key] === value) && expressions.every((one) => fits(one, labels));
}

function fits({ key, operator, values }: Tree, labels: Readonly<Record<string, string>>): boolean {
  const label = labels[String(key)];
  const listed = Array.isArray(values) && values.map(String).includes(label ?? "");
  switch (operator) {
    case "In":
      return label !== undefined && listed;
    case "NotIn":
      return label === undefined || !listed;
    case "Exists":
      return label !== undefined;
    case "DoesNotExist":
      return label === undefined;
    default:
      return false;
  }
}
