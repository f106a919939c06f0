import type { ProxyInput } from "../input.ts";

/** Documents in PROXY_CONFIG. */
export function configs(...texts: readonly string[]): ProxyInput[] {
  return texts.map((text) => ({ name: `PROXY_CONFIG ${printable(text)}`, env: { PROXY_CONFIG: text } }));
}

/** Values of one variable. */
export function variable(name: string, ...values: readonly (string | undefined)[]): ProxyInput[] {
  return values.map((value) => ({
    name: value === undefined ? `no ${name}` : `${name}=${printable(value)}`,
    env: { [name]: value },
  }));
}

/** Words after `proxy`, as a shell splits them at spaces. */
export function words(...lines: readonly string[]): ProxyInput[] {
  return lines.map((line) => ({ name: `proxy ${line}`, args: line === "" ? [] : line.split(" ") }));
}

/** Lines of the file of annotations. */
export function annotations(...texts: readonly string[]): ProxyInput[] {
  return texts.map((text) => ({ name: `annotations ${printable(text)}`, files: { [ANNOTATIONS]: text } }));
}

/** Lines of the file of labels. */
export function labels(...texts: readonly string[]): ProxyInput[] {
  return texts.map((text) => ({ name: `labels ${printable(text)}`, files: { [LABELS]: text } }));
}

export const ANNOTATIONS = "etc/istio/pod/annotations";
export const LABELS = "etc/istio/pod/labels";
export const MESH = "etc/istio/config/mesh";

/** Documents in the mesh file. */
export function meshes(...texts: readonly string[]): ProxyInput[] {
  return texts.map((text) => ({ name: `mesh file ${printable(text)}`, files: { [MESH]: text } }));
}

function printable(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
