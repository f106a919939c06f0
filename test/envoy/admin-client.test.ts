import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createAdminClient } from "../../src/envoy/index.ts";

let server: Server;
afterEach(() => void server.close());

test("an answer that breaks off is told as such, and nothing goes on waiting", async () => {
  server = createServer((connection) => {
    connection.once("data", () => connection.end("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  await expect(createAdminClient("127.0.0.1", port).get("/stats", 60_000)).rejects.toMatchObject({
    code: "ENVOY_ADMIN_UNREACHABLE",
    message: expect.stringContaining("the answer ended early"),
  });
  expect(timers()).toBeLessThanOrEqual(before); // one of the runner may have ended meanwhile
});
