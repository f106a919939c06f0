import { resolve } from "node:path";
import type { Command } from "commander";
import { startExampleService } from "../../examples/quickstart/service.ts";
import {
  AgentError,
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
import { runCommander } from "./command.ts";
import { checkWorkload, mintToken, openDesk, type TokenFlags } from "./control-plane-token.ts";
import { checkNamedFolder } from "./named-path.ts";
import { parsePort } from "./parse-port.ts";

interface Flags {
  readonly dir?: string;
  readonly host: string;
  readonly port: string;
  readonly trustDomain: string;
  readonly set: readonly string[];
  readonly caDir?: string;
  readonly writeCredentials?: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly withService?: boolean;
}

const HELP = { hint: 'See "pilotboat control-plane --help"' };

const EXAMPLES = `
Examples:
  pilotboat control-plane --dir examples/quickstart/xds --with-service --write-credentials ~/sidecar
  pilotboat control-plane --dir my-mesh --port 0 --set OUTBOUND_PORT=18080
  pilotboat control-plane --dir my-mesh --ca-dir ~/.my-mesh-ca     # the same root after a restart
  pilotboat control-plane token -n shop --service-account cart     # while it runs: for another workload`;

/** `pilotboat control-plane`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  return runCommander("control-plane", args, host, (program) => {
    withTokenCommand(program, host)
      .description("A development istiod: certificate authority and ADS from a folder of YAML")
      .option("--dir <folder>", "folder with YAML files of Envoy resources; it is watched")
      .option("--host <address>", "address to listen on", "127.0.0.1")
      .option("--port <port>", "port to listen on; 0 takes a free one", "15012")
      .option("--trust-domain <name>", "SPIFFE trust domain", "cluster.local")
      .option(
        "--set <name=value>",
        "a value for the placeholders in the files; may be given several times",
        collect,
        [],
      )
      .option(
        "--ca-dir <folder>",
        "keep root and token key there; may be one of Istio's cacerts; default: new at each start",
      )
      .option("--write-credentials <folder>", "write a token and the root certificate where a sidecar in it looks")
      .option("-n, --namespace <name>", "namespace of that token; in the files NAMESPACE", "default")
      .option("--service-account <name>", "its service account; in the files SERVICE_ACCOUNT", "quickstart")
      .option("--with-service", "also start the example service, on APP_PORT (15081)")
      .addHelpText("after", EXAMPLES)
      .action(async (flags: Flags) => {
        await serve(flags, host).catch((error: unknown) => {
          if (!isStopped(error)) throw error; // a signal during the start is an end as any other
        });
      });
  });
}

/** Flags after `token` are its own, though some have the names of those before. */
function withTokenCommand(program: Command, host: Host): Command {
  program
    .enablePositionalOptions()
    .command("token")
    .description("Print a token of a running control plane, so that another workload can join")
    .option("-n, --namespace <name>", "namespace of the workload", "default")
    .requiredOption("--service-account <name>", "its service account; must be given")
    .option("--port <port>", "port of the control plane; default: the only one that runs")
    .option("--duration <time>", "how long the token is valid, as 30m; default: 12h")
    .option("--write-credentials <folder>", "write it, with the root certificate, where a sidecar in that folder looks")
    .action((flags: TokenFlags) => mintToken(flags, host));
  return program;
}

const collect = (value: string, earlier: readonly string[]): readonly string[] => [...earlier, value];

async function serve(flags: Flags, host: Host): Promise<void> {
  const { stop } = host.signals;
  const workload = checkWorkload(flags);
  if (flags.dir === undefined) throw new AgentError("USAGE", "required option '--dir <folder>' not specified", HELP);
  const log = createLogger({ write: (line) => host.stderr.write(line) });
  const values: Record<string, string> = {
    NAMESPACE: workload.namespace,
    SERVICE_ACCOUNT: workload.serviceAccount,
    ...parseValues(flags.set),
  };
  const resources = resolve(host.cwd, flags.dir);
  await checkNamedFolder(resources, "--dir");
  await using life = new Lifetime();
  const controlPlane = await life.own(
    "control plane",
    startControlPlane(
      {
        resources,
        host: flags.host,
        port: parsePort("--port", flags.port),
        trustDomain: flags.trustDomain,
        values,
        ...(flags.caDir === undefined ? {} : { caFolder: resolve(host.cwd, flags.caDir) }),
        log,
      },
      stop,
    ),
  );
  if (flags.withService === true) {
    const service = await life.own(
      "service",
      startService(parsePort("--set APP_PORT", values.APP_PORT ?? DEFAULT_APP_PORT)),
    );
    host.stdout.write(`service        http://127.0.0.1:${service.port}\n`);
  }
  await life.own("token desk", openDesk(controlPlane, host, log));
  host.stdout.write(
    `control plane  ${controlPlane.address}\nresources      ${describeResources(controlPlane.resourceCounts(), resources)}\n`,
  );
  if (flags.writeCredentials !== undefined) {
    const folder = resolve(host.cwd, flags.writeCredentials);
    const write = (): Promise<void> => writeCredentials(controlPlane, folder, workload);
    await write();
    host.stdout.write(`credentials    ${folder}\n`);
    await keepFresh(write, log, stop);
  }
  if (!stop.aborted) await new Promise((done) => stop.addEventListener("abort", done, { once: true }));
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
      hint: "Name another port with --set APP_PORT=N, or leave --with-service out: the service may run already",
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
      log.error("Cannot renew the credentials, trying again later", { error: describeError(error) });
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
