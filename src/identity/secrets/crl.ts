import { readFile } from "node:fs/promises";
import { describeError, type Logger, systemCode } from "../../base/index.ts";

/**
 * The path when a usable revocation list is there, so that it may go along with the roots. An empty or undecodable one
 * is left out and logged: Envoy would refuse the roots because of it.
 */
export async function usableCrl(path: string | undefined, log: Logger): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    const text = await readFile(path, "latin1");
    if (/-----BEGIN X509 CRL-----\s[\s\S]+-----END X509 CRL-----/.test(text)) return path;
    log.error("certificate revocation list is left out, it is not PEM", { file: path });
  } catch (error) {
    if (systemCode(error) !== "ENOENT") {
      log.error("certificate revocation list cannot be read", { file: path, error: describeError(error) });
    }
  }
  return undefined;
}
