import type { Duplex } from "node:stream";
import { connect } from "node:tls";

const LIMIT_MS = 10_000;

/**
 * The DNS names of the certificate that a TLS server presents over `stream`, which is ended. Nothing is verified and
 * nothing is sent: the agent does that with the mesh's root, for one of these names.
 */
export function presentedNames(stream: Duplex, serverName: string, signal: AbortSignal): Promise<readonly string[]> {
  return new Promise<readonly string[]>((resolve, reject) => {
    const cut = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
    const tls = connect({ socket: stream, servername: serverName, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    const abort = (): void => reject(signal.aborted ? signal.reason : new Error(`no TLS within ${LIMIT_MS / 1_000} s`));
    cut.addEventListener("abort", abort);
    tls.once("error", reject);
    tls.once("close", () => reject(stream.errored ?? new Error("the connection was closed")));
    tls.once("secureConnect", () => {
      const { subjectaltname = "" } = tls.getPeerCertificate();
      resolve([...subjectaltname.matchAll(/DNS:([^,\s]+)/g)].map(([, name = ""]) => name));
    });
  }).finally(() => stream.destroy());
}
