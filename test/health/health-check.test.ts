import { createServer, type Server } from "node:net";
import { expect, test } from "vitest";
import { Verdicts } from "../../src/health/verdicts.ts";
import { fillZeros, PROXY_CONFIG, probeTrouble, proxyConfigFromJson } from "../../src/istio/mesh/index.ts";
import { listen, startApp } from "../probes/rig.ts";
import { freePorts } from "../support/ports.ts";
import { check, probeOf } from "./rig.ts";

/** What a row of answers, `S` or `F`, makes of the verdict: the answers at which it changes. */
function changes(answers: string, successThreshold = 1, failureThreshold = 1): string {
  const verdicts = new Verdicts({ successThreshold, failureThreshold });
  return [...answers]
    .flatMap((answer, at) => (verdicts.take(answer === "S") ? [`${verdicts.verdict} at ${at + 1}`] : []))
    .join(", ");
}

test("a verdict takes as many answers in a row as its threshold", () => {
  expect(changes("FFSFFF", 1, 3)).toBe("healthy at 3, unhealthy at 6");
  expect(changes("SFFSFFSF")).toBe(
    "healthy at 1, unhealthy at 2, healthy at 4, unhealthy at 5, healthy at 7, unhealthy at 8",
  );
  expect(changes("SFSFSSFSS", 2, 2)).toBe("healthy at 6");
  expect(changes("SSSSS", 3)).toBe("healthy at 3");
  expect(changes("FFFF", 1, 5)).toBe("");
  expect(changes("SSFSSFFSS", 2, 2)).toBe("healthy at 2, unhealthy at 7, healthy at 9");
});

test("defaults of what a probe leaves out", () => {
  expect(probeOf({ httpGet: { port: 80, scheme: "HTTPS" } }, { timeoutMs: 1, periodMs: 1 })).toEqual({
    method: { kind: "http", host: "", port: 80, path: "/", headers: [], isSecure: true },
    ...{ initialDelayMs: 0, periodMs: 1, timeoutMs: 1, successThreshold: 1, failureThreshold: 1 },
  });
  const { readinessProbe } = proxyConfigFromJson({ readinessProbe: { exec: { command: ["true"] } } });
  expect(readinessProbe && probeTrouble(readinessProbe)).toBeUndefined();
});

test.each([
  [{}, "it names no method"],
  [{ exec: {} }, "exec.command is empty"],
  [{ exec: { command: [""] } }, "exec.command is empty"],
  [{ httpGet: {} }, "port is 0, wanted 1 to 65535"],
  [{ grpc: { port: 70_000 } }, "port is 70000"],
  [{ tcpSocket: { port: 1 }, periodSeconds: -1 }, "periodSeconds is -1, wanted a positive number"],
  [{ tcpSocket: { port: 1 }, failureThreshold: -3 }, "failureThreshold is -3"],
  [{ httpGet: { port: 1, scheme: "FTP" } }, 'httpGet.scheme is "ftp", wanted HTTP or HTTPS'],
])("a probe that cannot be used: %j", (readinessProbe, trouble) => {
  const { readinessProbe: found } = fillZeros(PROXY_CONFIG, proxyConfigFromJson({ readinessProbe }));
  expect(found && probeTrouble(found)).toContain(trouble);
});

test("only changes are reported: refused, accepting, refused", async () => {
  const [port = 0] = await freePorts(1);
  const { events, health, metrics, log } = check({ tcpSocket: { port } });
  await expect.poll(() => events.length).toBe(1);
  expect(health()).toMatchObject({ state: "unhealthy", probe: `connect 127.0.0.1:${port}` });
  expect(metrics()).toContain("x_workload_healthy 0");
  const server = await listenAt(port);
  await expect.poll(() => events.length).toBe(2);
  expect(health()).toMatchObject({ state: "healthy", lastError: { text: expect.stringContaining("ECONNREFUSED") } });
  expect(metrics()).toContain("x_workload_healthy 1");
  const probes = () => Number(/x_workload_health_probes_total\{result="healthy"\} (\d+)/.exec(metrics())?.[1] ?? 0);
  await expect.poll(probes).toBeGreaterThan(3); // and all that time there is nothing to report
  await new Promise((done) => server.close(done));
  await expect.poll(() => events.length).toBe(3);
  const gone = /ECONN(REFUSED|RESET)/; // a question may be under way while the server closes
  expect(events).toEqual([expect.stringContaining("ECONNREFUSED"), "healthy", expect.stringMatching(gone)]);
  const lines = log.join("");
  expect(lines).toMatch(/info\thealthcheck\tstarting health check for connect .* in 0s/);
  expect(lines).toMatch(/info\thealthcheck\tsuccess threshold hit, marking as healthy/);
  expect(lines).toMatch(/warn\thealthcheck\tfailure threshold hit, marking as unhealthy: .*ECONNREFUSED/);
  expect(lines).toMatch(/debug\thealthcheck\tprobe completed with healthy status/);
});

async function listenAt(port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  return server;
}

test("questions do not overlap, and a slow answer delays the next", async () => {
  let [open, most, answered] = [0, 0, 0];
  const app = await startApp((_, response) => {
    most = Math.max(most, ++open);
    setTimeout(() => {
      open--;
      answered++;
      response.end();
    }, 70);
  });
  const { events } = check({ httpGet: { port: app.port } }, { periodMs: 10 });
  await expect.poll(() => answered).toBeGreaterThan(4);
  expect([most, events]).toEqual([1, ["healthy"]]);
});

test("an end waits for neither the delay nor the answer", async () => {
  const delayed = check({ tcpSocket: { port: 1 }, initialDelaySeconds: 1_000 });
  await delayed.stop();
  expect([delayed.events, delayed.health().state]).toEqual([[], "pending"]);
  let asked = 0;
  const mute = await listen(createServer(() => void asked++));
  const waiting = check({ httpGet: { port: mute } }, { timeoutMs: 1_000_000 });
  await expect.poll(() => asked).toBe(1);
  await waiting.stop();
  expect(waiting.events).toEqual([]);
});
