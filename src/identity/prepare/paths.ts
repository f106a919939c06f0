import { resolve } from "node:path";

/** A certificate, its key and the roots, as paths. */
export interface CertificateFiles {
  readonly certChain: string;
  readonly key: string;
  readonly root: string;
}

export function resolveAll(cwd: string, files: CertificateFiles): CertificateFiles {
  return {
    certChain: resolve(cwd, files.certChain),
    key: resolve(cwd, files.key),
    root: resolve(cwd, files.root),
  };
}
