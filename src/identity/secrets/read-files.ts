import type { Logger } from "../../base/index.ts";
import { goodRoots, invalidFile, readKeyPair, readPem } from "../tls/key-pair.ts";
import type { SecretItem } from "./secret-item.ts";

/** Files behind one secret; absolute paths. */
export type FileSource =
  | { readonly kind: "certificate"; readonly certChain: string; readonly key: string }
  | { readonly kind: "roots"; readonly path: string };

/** Reads and checks a file secret; what was checked is what is served. Rejects with FILE_UNREADABLE or SECRET_FILE_INVALID. */
export async function readFileSecret(name: string, source: FileSource, log: Logger): Promise<SecretItem> {
  if (source.kind === "certificate") {
    const { leaf, certChain, key } = await readKeyPair(source);
    return { kind: "certificate", name, certChain, key, notAfterMs: Date.parse(leaf.validTo) };
  }
  const { path } = source;
  const bad: string[] = [];
  const roots = goodRoots(await readPem(path), (reason) => bad.push(reason));
  if (roots.length === 0) throw invalidFile(path, "failed to parse root certs from file, wanted PEM");
  if (bad.length > 0) log.error("failed to parse some certs from file", { file: path, reasons: bad.join("; ") });
  return { kind: "roots", name, roots };
}
