import { createServer } from "node:tls";
import type { GrpcStreamServerOptions } from "../../grpc-stream/index.ts";
import type { ServerTls } from "../ca/signing.ts";

/**
 * Speaks TLS on each connection with what `tls` answers by then. A client certificate is asked for, and not required.
 * Every connection has a server of its own: one for all would not say by which connection a TLS connection came.
 */
export function speakTls(tls: () => ServerTls): NonNullable<GrpcStreamServerOptions["secure"]> {
  return (connection, take) => {
    const { chain, key, roots } = tls();
    const server = createServer({
      ...{ cert: chain, key: key.reveal(), ca: roots, minVersion: "TLSv1.2", ALPNProtocols: ["h2"] },
      ...{ requestCert: true, rejectUnauthorized: false },
    });
    server.once("secureConnection", (secured) => {
      secured.on("error", () => undefined); // "close" follows
      take(secured);
    });
    server.once("tlsClientError", () => connection.destroy());
    server.emit("connection", connection);
  };
}
