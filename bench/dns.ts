import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runtimes } from "../test/support/pilotboat.ts";
import { freePorts } from "../test/support/ports.ts";
import { createSandbox } from "../test/support/sandbox.ts";
import { type DnsLoadResult, loadDns } from "./support/dns-clients.ts";
import { describeMachine, printTable, quantile, saveResults } from "./support/report.ts";

// Questions for names of a mesh of 10,000, over UDP, from one client and from 50 at once, each of which asks again as
// soon as it is answered. The floor is a program that sends each packet back. Server and clients are processes of their
// own and share the cores, so the clients' own cost is in all figures.

const SECONDS = Number(process.env.BENCH_SECONDS ?? 5);
const SERVICES = 10_000;
const CROWD = 50;
const ECHO = `const s = require("node:dgram").createSocket("udp4");
s.on("message", (m, { port, address }) => s.send(m, port, address));
s.bind(0, "127.0.0.1", () => console.log(s.address().port));`;

interface Row {
  readonly name: string;
  readonly oneQps: number;
  readonly crowdQps: number;
  readonly crowdP50Us: number;
  readonly crowdP99Us: number;
  readonly cpuSecondsPerMillion: number;
  readonly rssMb: number;
}

async function main(): Promise<void> {
  const machine = describeMachine();
  const folder = mkdtempSync(join(tmpdir(), "pb-bench-dns-"));
  try {
    const resources = join(folder, "xds");
    cpSync("examples/quickstart/xds", resources, { recursive: true });
    writeFileSync(join(resources, "names.yaml"), namesDocument());
    const rows = [await measureEcho()];
    for (const form of runtimes()) {
      await using sandbox = await createSandbox(form);
      await using _controlPlane = await sandbox.startControlPlane({ resources });
      const [port = 0] = await freePorts(1);
      const env = { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${port}` };
      await using agent = await sandbox.startProxy({ env });
      await agent.waitFor(/Start: .*ready/);
      rows.push(await measure(form.name, agent.pid, port));
    }
    report(machine, rows);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function namesDocument(): string {
  const lines = Array.from({ length: SERVICES }, (_, at) => {
    const [host, ip] = [`s${at}.shop.svc.cluster.local`, `10.1.${at >> 8}.${at & 255}`];
    return `  ${host}: { ips: [${ip}], registry: Kubernetes, shortname: s${at}, namespace: shop }`;
  });
  return `names:\n${lines.join("\n")}\n`;
}

async function measureEcho(): Promise<Row> {
  const child: ChildProcess = spawn(process.execPath, ["-e", ECHO], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [port] = await once(child.stdout as NodeJS.ReadableStream, "data");
    return await measure("floor: echo", child.pid ?? 0, Number(port));
  } finally {
    child.kill();
    await once(child, "close");
  }
}

async function measure(name: string, pid: number, port: number): Promise<Row> {
  const names = Array.from({ length: SERVICES }, (_, at) => `s${at}.shop.svc.cluster.local`);
  await loadDns({ port, clients: CROWD, seconds: 1, names }); // warm up
  const one = await loadDns({ port, clients: 1, seconds: SECONDS, names });
  const beforeS = cpuSeconds(pid);
  const crowd = await loadDns({ port, clients: CROWD, seconds: SECONDS, names });
  return {
    name,
    oneQps: perSecond(one),
    crowdQps: perSecond(crowd),
    crowdP50Us: quantile(crowd.tookUs, 0.5),
    crowdP99Us: quantile(crowd.tookUs, 0.99),
    cpuSecondsPerMillion: ((cpuSeconds(pid) - beforeS) / crowd.answered) * 1e6,
    rssMb: rssMb(pid),
  };
}

const perSecond = ({ answered, seconds }: DnsLoadResult): number => answered / seconds;

/** Of the process alone, not of its Envoy. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function rssMb(pid: number): number {
  const [, kb = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kb) / 1_024;
}

function report(machine: string, rows: readonly Row[]): void {
  console.log(`${machine}; ${SERVICES} names, ${SECONDS} s each\n`);
  printTable([
    ["", "1 client, /s", `${CROWD} clients, /s`, "p50, ms", "p99, ms", "CPU s per million", "RSS, MB"],
    ...rows.map((row) => [
      row.name,
      row.oneQps.toFixed(0),
      row.crowdQps.toFixed(0),
      (row.crowdP50Us / 1_000).toFixed(2),
      (row.crowdP99Us / 1_000).toFixed(2),
      row.cpuSecondsPerMillion.toFixed(1),
      row.rssMb.toFixed(0),
    ]),
  ]);
  saveResults("dns", { machine, node: process.version, services: SERVICES, rows });
}

await main();
