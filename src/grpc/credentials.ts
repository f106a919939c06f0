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
import type { ChannelCredentials } from "@grpc/grpc-js";
import { type Secret, type Tunnel, VERIFIED_TLS, withoutFinalDot } from "../base/index.ts";

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

type Grpc = Pick<typeof import("@grpc/grpc-js"), "CallCredentials" | "ChannelCredentials">;
type ConnectorArguments = Parameters<ChannelCredentials["_createSecureConnector"]>;
type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/**
 * Channel credentials of our own, because grpc-js' always send a server name: for an IP address that is forbidden
 * (RFC 6066 section 3), Node warns of it and Bun refuses to connect. A tunnel comes before the handshake. The library
 * is passed in, so that it stays lazy. Throws when certificates or keys cannot be read.
 */
export function grpcCredentials(grpc: Grpc, tls: GrpcTls | "plaintext", tunnel?: Tunnel): ChannelCredentials {
  const secure = tls === "plaintext" ? undefined : secured(tls);
  class OwnCredentials extends grpc.ChannelCredentials {
    override _isSecure(): boolean {
      return secure !== undefined;
    }

    override _equals(other: ChannelCredentials): boolean {
      return this === other;
    }

    override _createSecureConnector(...[, , perCall]: ConnectorArguments): Connector {
      return {
        async connect(direct) {
          const socket = tunnel === undefined ? direct : await tunnel(direct);
          return { socket: secure === undefined ? socket : await secure(socket), secure: secure !== undefined };
        },
        waitForReady: async () => undefined,
        getCallCredentials: () => perCall ?? grpc.CallCredentials.createEmpty(),
        destroy: () => undefined,
      };
    }
  }
  return new OwnCredentials();
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
