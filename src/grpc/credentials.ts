import { isIP, type Socket } from "node:net";
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  type PeerCertificate,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
} from "node:tls";
import { type Secret, VERIFIED_TLS, withoutFinalDot } from "../base/index.ts";

/** What a TLS connection to a gRPC server is made of. */
export interface GrpcTls {
  /** PEM certificates that may have issued the server's certificate, or the list that Node brings along. */
  readonly roots: Buffer | "system";
  /** Name or IP address that the server's certificate must carry; a dot at the end of a name does not count. */
  readonly serverName: string;
  /** Versions, ciphers and curves. Default: TLS 1.2 and Node's list. */
  readonly limits?: SecureContextOptions;
  readonly clientCertificate?: { readonly certChain: Buffer; readonly key: Secret };
}

/**
 * Speaks TLS over a connection and verifies the other end. Throws when certificates or keys cannot be read; the promise
 * rejects with what is wrong at the other end.
 */
export function secured(tls: GrpcTls): (socket: Socket) => Promise<TLSSocket> {
  const context = secureContext(tls);
  const name = withoutFinalDot(tls.serverName);
  return (socket) => handshake(socket, name, context);
}

function secureContext({ roots, limits, clientCertificate }: GrpcTls): SecureContext {
  return createSecureContext({
    minVersion: "TLSv1.2",
    ...limits,
    ...(roots === "system" ? {} : { ca: roots }),
    ...(clientCertificate && { cert: clientCertificate.certChain, key: clientCertificate.key.reveal() }),
  });
}

function handshake(socket: Socket, serverName: string, secureContext: SecureContext): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const name = isIP(serverName) === 0 ? { servername: serverName } : { host: serverName };
    const verified = {
      ...VERIFIED_TLS,
      checkServerIdentity: (_: string, peer: PeerCertificate) => checkServerIdentity(serverName, peer),
    };
    const connection = connect({ socket, secureContext, ALPNProtocols: ["h2"], ...name, ...verified }, () => {
      if (connection.alpnProtocol === "h2") resolve(connection);
      else fail(new Error("the server speaks TLS, but not HTTP/2"));
    });
    const fail = (error: Error): void => {
      connection.destroy();
      reject(/wrong.version.number/i.test(error.message) ? new Error("the server does not speak TLS") : error);
    };
    connection.on("error", fail); // stays: a later failure is the session's to report, not a crash
    connection.once("close", () => reject(new Error("the server closed the connection during the TLS handshake")));
  });
}
