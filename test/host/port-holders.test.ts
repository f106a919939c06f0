import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { portHolders, portSharers } from "../../src/host/index.ts";

const LISTENS = `require("node:net").createServer().listen(Number(process.argv[1]), "127.0.0.1", () => console.log("listens"))`;

test.runIf(process.platform === "linux")(
  "two processes hold a port on two addresses, and share nothing: an application behind its Envoy does that",
  async () => {
    const server = createServer().listen(0, "127.0.0.2");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const other = spawn(process.execPath, ["-e", LISTENS, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(other.stdout, "data");
      const pids = (await portHolders([port])).get(port)?.map(({ pid }) => pid);
      expect(pids?.sort()).toEqual([process.pid, other.pid].sort());
      expect((await portSharers(process.pid)).get(port)).toBeUndefined();
    } finally {
      other.kill("SIGKILL");
      server.close();
    }
  },
);
