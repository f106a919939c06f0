import { request } from "node:http";

/** A request over a connection of its own; `headers` are those that the application was sent, which it answers with. */
export function ask(port: number, { host = "web", address = "127.0.0.1", path = "/" } = {}) {
  return new Promise<{ status: number; headers: Readonly<Record<string, string>> }>((resolve, reject) => {
    const call = request(
      { host: address, port, path, agent: false, headers: { host }, timeout: 10_000 },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.once("error", reject).once("end", () => {
          const { statusCode: status = 0 } = response;
          resolve({ status, headers: status === 200 ? JSON.parse(text) : {} });
        });
      },
    );
    call.once("timeout", () => call.destroy(new Error("no answer within 10 s")));
    call.once("error", reject).end();
  });
}
