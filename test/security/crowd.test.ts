import { readFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { describe, expect, test } from "vitest";
import { runtimes } from "../support/pilotboat.ts";
import { startVictim } from "./rig.ts";
import { startProgram } from "./users.ts";

/**
 * Opens as many connections as it is told, 1,500 in a second, from as many addresses of the loopback as it takes, and opens
 * each again that is closed on it: idle ones, half requests, requests that come byte by byte, huge headers.
 */
const CROWD = `
import asyncio, resource, sys
port, most, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
most = min(most, hard - 100)
opened = 0
async def one(at):
    global opened
    address = f"127.0.{1 + at // 200 % 200}.{1 + at % 200}"
    await asyncio.sleep(at / 1500)
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            opened += 1
            if at % 4 == 1: writer.write(b"GET /healthz/ready HTTP/1.1\\r\\nHost: a\\r\\n")
            if at % 4 == 2: writer.write(b"GET /stats/prometheus HTTP/1.1\\r\\nX: " + b"x" * 200000)
            if at % 4 == 3:
                for letter in b"POST /drain HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 9\\r\\n\\r\\n":
                    writer.write(bytes([letter]))
                    await asyncio.sleep(0.5)
            await reader.read()
        except OSError: pass
        await asyncio.sleep(20)
async def main():
    crowd = [asyncio.create_task(one(at)) for at in range(most)]
    while opened < most: await asyncio.sleep(0.05)
    print(opened, flush=True)
    await asyncio.sleep(seconds)
asyncio.run(main())
`;

const CROWD_SIZE = 10_000;
const POLLS = 30;
/** Of the process, whose heap has grown to the size that the crowd needed; the crowd itself would be far more. */
const MOST_GROWN_MB = 64;

function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;
}

describe.runIf(process.platform === "linux").each(runtimes())("the status port of $name", (runtime) => {
  test("10,000 connections, idle, half, dripping and with huge headers, leave every poll of 30 s answered within a second", async () => {
    await using victim = await startVictim(runtime);
    for (let count = 0; count < 50; count++) await victim.ask("/healthz/ready");
    const beforeMb = residentMb(victim.agent.pid);
    const words = ["/usr/bin/python3", "-c", CROWD, String(victim.sandbox.ports.status), String(CROWD_SIZE), "600"];
    const limitMs = 1_000 * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism()); // others may use this machine as well
    const tookMs: number[] = [];
    {
      let isThere = false;
      const starting = startProgram(words);
      void starting.then(() => {
        isThere = true;
      });
      for (let polls = 0; polls < POLLS || !isThere; polls++) {
        const startMs = performance.now();
        expect((await victim.ask("/healthz/ready")).status).toBe(200);
        const took = performance.now() - startMs;
        tookMs.push(Math.round(took));
        await new Promise((over) => setTimeout(over, Math.max(0, 1_000 - took)));
      }
      await using _crowd = await starting;
    }
    expect(
      tookMs.filter((ms) => ms >= limitMs),
      `polls took ${tookMs.join(" ")} ms`,
    ).toEqual([]);
    const grownMb = (): number => residentMb(victim.agent.pid) - beforeMb;
    await expect.poll(grownMb, { timeout: 30_000, interval: 500 }).toBeLessThan(MOST_GROWN_MB);
  });
});
