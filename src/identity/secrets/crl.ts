import { describeError, isAbsent, type Logger, pemBlock, readPemBlocks, readRegularFile } from "../../base/index.ts";

/**
 * A usable revocation list as PEM, so that it may go along with the roots: its own bytes, because Envoy would read
 * another file than the one that was checked. An empty or undecodable one is left out and logged: Envoy would refuse
 * the roots because of it. Whether its content is a list that Envoy can use is for Envoy to say.
 */
export async function readCrl(path: string | undefined, log: Logger): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    const blocks = readPemBlocks(await readRegularFile(path)).filter(({ label }) => label === "X509 CRL");
    const lists = blocks.flatMap(({ bytes }) => (bytes === undefined ? [] : [pemBlock("X509 CRL", bytes)]));
    if (lists.length > 0 && lists.length === blocks.length) return Buffer.from(lists.join(""));
    log.error("ignoring the certificate revocation list: not PEM", { file: path });
  } catch (error) {
    if (!isAbsent(error)) {
      log.error("certificate revocation list cannot be read", { file: path, error: describeError(error) });
    }
  }
  return undefined;
}
