import { connect as connectTo } from "node:net";
import { connect as connectTls } from "node:tls";

/** Alternative names of the certificate that is presented on a port of 127.0.0.1. */
export function namesAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ socket: connectTo(port, "127.0.0.1"), rejectUnauthorized: false });
    socket.once("error", reject).once("secureConnect", () => {
      resolve(socket.getPeerCertificate().subjectaltname ?? "");
      socket.destroy();
    });
  });
}
