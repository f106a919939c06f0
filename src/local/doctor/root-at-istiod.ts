import { connect } from "node:tls";
import { describeError, readRegularFile, VERIFIED_TLS } from "../../base/index.ts";
import { explainUntrusted } from "../../identity/index.ts";

const LIMIT_MS = 10_000;

/** Why istiod on that port of this machine does not prove its name by the roots of the file; undefined when it does. */
export async function rootTrouble(port: number, name: string, rootFile: string): Promise<string | undefined> {
  const ca = await readRegularFile(rootFile);
  try {
    await handshake(port, name, ca);
    return undefined;
  } catch (error) {
    const endpoint = `127.0.0.1:${port}`;
    const roots = { kind: "file", path: rootFile } as const;
    const why = await explainUntrusted({ endpoint, roots, nameOverride: name, isProxied: false });
    return `istiod's certificate is not trusted (${describeError(error)}): ${why}`;
  }
}

/** Rejects when the certificate is not trusted. */
function handshake(port: number, servername: string, ca: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername, ca, ALPNProtocols: ["h2"], timeout: LIMIT_MS };
    const socket = connect({ ...options, ...VERIFIED_TLS }, () => {
      resolve();
      socket.destroy();
    });
    socket.once("timeout", () => socket.destroy(new Error(`no TLS within ${LIMIT_MS / 1_000} s`)));
    socket.once("error", reject);
  });
}
