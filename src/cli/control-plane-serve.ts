import { resolve } from "node:path";
import { startExampleService } from "../../examples/quickstart/service.ts";
import {
  AgentError,
  aborted,
  createLogger,
  describeError,
  isStopped,
  Lifetime,
  type Logger,
  pause,
  systemCode,
} from "../base/index.ts";
import { type ResourceCounts, startControlPlane, writeCredentials } from "../control-plane/index.ts";
import type { Host } from "../host/index.ts";
import { checkWorkload, openDesk } from "./control-plane-token.ts";
import { checkNamedFile, checkNamedFolder } from "./named-path.ts";
import { parsePort } from "./parse-port.ts";

export interface ServeFlags {
  /** A folder, or a recording. */
  readonly resources: string;
  readonly isRecording: boolean;
  readonly host: string;
  readonly port: string;
  readonly "plaintext-port": string | undefined;
  readonly "debug-port": string | undefined;
  readonly "trust-domain": string;
  readonly set: readonly string[];
  readonly "ca-dir": string | undefined;
  readonly "write-credentials": string | undefined;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly "with-service": boolean;
}

/** Runs a control plane until a signal, which may come during the start as well. */
export async function serve(flags: ServeFlags, host: Host): Promise<void> {
  await serveUntilStopped(flags, host).catch((error: unknown) => {
    if (!isStopped(error)) throw error;
  });
}

async function serveUntilStopped(flags: ServeFlags, host: Host): Promise<void> {
  const { stop } = host.signals;
  const workload = checkWorkload(flags);
  const log = createLogger({ write: (line) => host.stderr.write(line) });
  const values: Record<string, string> = {
    NAMESPACE: workload.namespace,
    SERVICE_ACCOUNT: workload.serviceAccount,
    ...parseValues(flags.set),
  };
  const { isRecording } = flags;
  const resources = resolve(host.cwd, flags.resources);
  if (isRecording) await checkNamedFile(resources, "--replay");
  else await checkNamedFolder(resources, "--dir");
  await using life = new Lifetime();
  const controlPlane = await life.own(
    "control plane",
    startControlPlane(
      {
        resources,
        isRecording,
        host: flags.host,
        port: parsePort("--port", flags.port),
        ...optionalPorts(flags),
        trustDomain: flags["trust-domain"],
        values,
        ...(flags["ca-dir"] === undefined ? {} : { caFolder: resolve(host.cwd, flags["ca-dir"]) }),
        log,
      },
      stop,
    ),
  );
  if (flags["with-service"]) {
    const service = await life.own(
      "service",
      startService(parsePort("--set APP_PORT", values.APP_PORT ?? DEFAULT_APP_PORT)),
    );
    host.stdout.write(`service        http://127.0.0.1:${service.port}\n`);
  }
  await life.own("token desk", openDesk(controlPlane, host, log));
  const { plaintextAddress, debugAddress } = controlPlane;
  if (plaintextAddress !== undefined) host.stdout.write(`plaintext      ${plaintextAddress}\n`);
  if (debugAddress !== undefined) host.stdout.write(`debug          http://${debugAddress}/debug/list\n`);
  host.stdout.write(
    `control plane  ${controlPlane.address}\nresources      ${describeResources(controlPlane.resourceCounts(), resources)}\n`,
  );
  if (flags["write-credentials"] !== undefined) {
    const folder = resolve(host.cwd, flags["write-credentials"]);
    const write = (): Promise<void> => writeCredentials(controlPlane, folder, workload);
    await write();
    host.stdout.write(`credentials    ${folder}\n`);
    await keepFresh(write, log, stop);
  }
  await aborted(stop);
}

function optionalPorts({ "plaintext-port": plaintext, "debug-port": debug }: ServeFlags) {
  return {
    ...(plaintext === undefined ? {} : { plaintextPort: parsePort("--plaintext-port", plaintext) }),
    ...(debug === undefined ? {} : { debugPort: parsePort("--debug-port", debug) }),
  };
}

function describeResources(counts: ResourceCounts, folder: string): string {
  const lists = Object.entries(counts).map(([list, count]) => `${count} ${list}`);
  if (lists.length > 0) return lists.join(", ");
  return `none in "${folder}": YAML files (.yaml, .yml) that are put there are read at once`;
}

const DEFAULT_APP_PORT = "15081";

function startService(port: number): ReturnType<typeof startExampleService> {
  return startExampleService(port).catch((error: unknown) => {
    const isTaken = systemCode(error) === "EADDRINUSE";
    const code = isTaken ? "ADDRESS_IN_USE" : "ADDRESS_UNUSABLE";
    const why = isTaken ? "in use by another process" : describeError(error);
    throw new AgentError(code, `Cannot start the example service on port ${port}: ${why}`, {
      hint: "Choose another port with --set APP_PORT=N, or drop --with-service if the service already runs",
      cause: error,
    });
  });
}

const REFRESH_MS = 6 * 60 * 60 * 1_000; // tokens live twice as long

async function keepFresh(write: () => Promise<void>, log: Logger, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await pause(REFRESH_MS, stop);
    if (stop.aborted) return;
    await write().catch((error: unknown) => {
      log.error("Cannot renew the credentials; retrying", { error: describeError(error) });
    });
  }
}

function parseValues(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) throw new AgentError("USAGE", `Cannot use --set "${pair}", wanted NAME=value`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}
