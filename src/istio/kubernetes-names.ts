/** What the two checks below want, for messages. */
export const KUBERNETES_NAME = "lower-case letters, digits and hyphens, as in Kubernetes";

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Whether Kubernetes takes it as the name of a namespace: a label of RFC 1123. */
export function isNamespaceName(name: string): boolean {
  return LABEL.test(name);
}

/** Whether Kubernetes takes it as the name of a service account: a subdomain of RFC 1123. */
export function isServiceAccountName(name: string): boolean {
  return SUBDOMAIN.test(name) && name.length <= 253;
}
