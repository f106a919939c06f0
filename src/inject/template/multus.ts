import { treesOf } from "../pod/json.ts";

/**
 * Adds a network, `NAMESPACE/NAME`, to the annotation in which Multus reads them: a JSON list or names with commas between
 * them. Source: istio/istio pkg/kube/inject/template.go (appendMultusNetwork).
 */
export function appendNetwork(existing: string, network: string): string {
  if (existing === "") return network;
  const end = existing.lastIndexOf("]");
  if (end < 0) {
    const names = existing.split(",").map((name) => name.trim());
    return names.includes(network) ? existing : `${existing}, ${network}`;
  }
  const slash = network.indexOf("/");
  const [namespace, name] = slash < 0 ? ["", network] : [network.slice(0, slash), network.slice(slash + 1)];
  const networks = networksIn(existing);
  if (networks === undefined || networks.some((one) => one.name === name && (one.namespace ?? "") === namespace)) {
    return existing;
  }
  const added = namespace === "" ? `{"name": "${name}"}` : `{"name": "${name}", "namespace": "${namespace}"}`;
  return `${existing.slice(0, end)}, ${added}${existing.slice(end)}`;
}

function networksIn(text: string) {
  try {
    return treesOf(JSON.parse(text));
  } catch {
    return undefined; // nobody can say what is in it
  }
}
