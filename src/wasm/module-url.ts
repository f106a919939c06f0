/** Where a module is, taken apart. */
export interface ModulePlace {
  readonly kind: "http" | "oci";
  /** As the configuration has it. */
  readonly url: string;
  /** What versions of the same module have in common: a URL, or a repository without tag and digest. */
  readonly name: string;
  /** Of an image: what stands behind `oci://`, without a query. */
  readonly reference: string;
  /** Hexadecimal digest in the reference of an image; empty when it has none. */
  readonly digest: string;
  /** The tag of an image is `latest`, in so many words. */
  readonly isLatest: boolean;
}

/** Throws an Error in Istio's words. */
export function parseModuleUrl(url: string): ModulePlace {
  if (!URL.canParse(url))
    throw new Error(`fail to parse Wasm module fetch url: ${JSON.stringify(shownUrl(url))} is no URL`);
  const { protocol } = new URL(url);
  if (protocol === "http:" || protocol === "https:") {
    return { kind: "http", url, name: url, reference: "", digest: "", isLatest: false };
  }
  if (protocol !== "oci:") {
    throw new Error(`unsupported Wasm module downloading URL scheme: ${protocol.slice(0, -1)}`);
  }
  const reference = url.slice("oci://".length).replace(/[?#].*$/s, "");
  const [tagged = "", digest = ""] = reference.split("@", 2);
  const name = `oci://${tagged.replace(/:[^:/]*$/, "")}`;
  const isLatest = digest === "" && tagged.endsWith(":latest");
  return { kind: "oci", url, name, reference, digest: digest.replace(/^sha\d+:/, ""), isLatest };
}

/** For logs and pages: without what may be a login. */
export function shownUrl(url: string): string {
  return url.replace(/^([a-z]+:\/\/)[^/?#]*@(?!sha\d+:)/i, "$1");
}
