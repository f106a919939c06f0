import type { Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import type { ChannelCredentials } from "@grpc/grpc-js";
import { type ControlPlaneTls, tlsConnectOptions } from "../control-plane-tls.ts";

type Grpc = typeof import("@grpc/grpc-js");
type ConnectorArguments = Parameters<ChannelCredentials["_createSecureConnector"]>;
type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/**
 * grpc-js credentials that connect by the rules of the control plane. Its own `createSsl` always sends SNI, also for
 * an IP address, knows no lowest TLS version, and does not insist on HTTP/2.
 */
export function tlsCredentials(grpc: Grpc, tls: ControlPlaneTls): ChannelCredentials {
  class ControlPlaneCredentials extends grpc.ChannelCredentials {
    override _isSecure(): boolean {
      return true;
    }

    override _equals(other: ChannelCredentials): boolean {
      return this === other;
    }

    override _createSecureConnector(...[, , perCall]: ConnectorArguments): Connector {
      return {
        connect: async (socket) => ({ socket: await handshake(socket, tls), secure: true }),
        waitForReady: async () => undefined,
        getCallCredentials: () => perCall ?? grpc.CallCredentials.createEmpty(),
        destroy: () => undefined,
      };
    }
  }
  return new ControlPlaneCredentials();
}

function handshake(socket: Socket, tls: ControlPlaneTls): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = connect({ ...tlsConnectOptions(tls), socket, ALPNProtocols: ["h2"] }, () => {
      secured.removeListener("close", onClose);
      if (secured.alpnProtocol === "h2") resolve(secured);
      else secured.destroy(new Error("the server does not speak HTTP/2 (ALPN h2 not selected)"));
    });
    const onClose = (): void => reject(new Error("TLS handshake failed: the server closed the connection"));
    secured.once("close", onClose);
    secured.on("error", (error) => reject(new Error(`TLS handshake failed: ${error.message}`, { cause: error })));
  });
}
