import { type Tree, treeOf } from "./pod/json.ts";

/** What decides about the image of a proxy. */
export interface ImageChoice {
  readonly values: Tree;
  /** `debug`, `distroless`, `default`; undefined where nobody says. */
  readonly imageType: string | undefined;
}

/**
 * `HUB/IMAGE:TAG`, the tag with the type of the image behind it. `of` names the values that have the image's name. Source:
 * istio/istio pkg/kube/inject/inject.go (ProxyImage, updateImageTypeIfPresent).
 */
export function imageOf(of: "proxy" | "proxy_init", { values, imageType }: ImageChoice): string {
  const global = treeOf(values.global);
  const name = textOf(treeOf(global[of]).image) || "proxyv2";
  const type = imageType || textOf(global.variant);
  return `${textOf(global.hub)}/${name}:${taggedAs(textOf(global.tag), type)}`;
}

function taggedAs(tag: string, type: string): string {
  if (type === "") return tag;
  const plain = tag.replace(/-(distroless|debug)$/, "");
  return type === "default" ? plain : `${plain}-${type}`;
}

function textOf(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}
