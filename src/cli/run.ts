import { resolve } from "node:path";
import { AgentError, escapeLine, parseGoDuration, toMs } from "../base/index.ts";
import { ALL_FLAGS, type FlagSpec, LOG_FLAGS, type ParsedFlags, parseFlags } from "../config/index.ts";
import { finishOutput, type Host, lossyOutput } from "../host/index.ts";
import { type LocalRunOptions, type RunOptions, runApplication } from "../local/index.ts";
import { checkNamedFolder } from "./named-path.ts";
import { parseServicePort } from "./parse-port.ts";
import { showFetch } from "./progress-line.ts";

const HELP = `Usage: pilotboat run [flags] [--] COMMAND [ARGS...]

Starts a sidecar, waits until it is ready, runs the command beside it, and ends both: the exit code is the command's.
Its stdin, stdout and stderr are yours; what pilotboat and Envoy have to say goes to stderr.

Flags:
  --local              bring a control plane and an example service along, as "pilotboat up" does
  --resources FOLDER   with --local: YAML files of Envoy resources; default: the built-in quickstart
  --app-port PORT      with --local: where your command listens; the mesh's inbound side leads to it
  --ready-timeout TIME how long to wait for the sidecar before giving up (default 60s)
  --stop-deadline TIME how long the command may take to end after a signal (default 30s)
  -v, --verbose        show all log lines of the agent, not only from warn
  and every flag of "pilotboat proxy", with other defaults: --restart=on-failure, --log_target=stderr, and, outside a
  pod, free ports in place of 15000, 15020, 15021 and 15090 where nobody has set them.

The command finds in its environment:
  PILOTBOAT_STATUS_URL    the agent's status port: /healthz/ready, /quitquitquit
  PILOTBOAT_ADMIN_URL     Envoy's admin
  PILOTBOAT_OUTBOUND_URL  with --local: the listener to send requests to
  PILOTBOAT_NODE_ID       the node id that the control plane sees
  PILOTBOAT_RUN_FOLDER    where the sidecar's files are
  GRPC_XDS_BOOTSTRAP      for gRPC without Envoy

Signals: SIGTERM and SIGINT drain what comes in and go on to the command, whose calls still leave through Envoy until it
has ended; a second one leaves it 2 seconds, a third none. Ctrl-C in a terminal is the command's own matter.

Exit codes: the command's own, or 128 + signal; 126 not executable; 127 not found; 1 the sidecar was never ready, or
Envoy's own when that cannot be kept up; 2 configuration.

Examples:
  pilotboat run --local --app-port 3000 -- node server.js
  pilotboat run --local -- sh -c 'curl -s $PILOTBOAT_OUTBOUND_URL/hello'
  PROXY_CONFIG='{"discoveryAddress":"localhost:15012"}' POD_NAMESPACE=default SERVICE_ACCOUNT=default \\
    pilotboat run -- ./nightly-report
`;

const OWN_FLAGS: readonly FlagSpec[] = [
  { name: "local", type: "bool", default: false, help: "" },
  { name: "resources", type: "string", default: "", help: "" },
  { name: "app-port", type: "string", default: "", help: "" },
  { name: "ready-timeout", type: "duration", default: "60s", help: "" },
  { name: "verbose", shorthand: "v", type: "bool", default: false, help: "" },
  { name: "help", shorthand: "h", type: "bool", default: false, help: "" },
];
const FLAGS: readonly FlagSpec[] = [...OWN_FLAGS, ...ALL_FLAGS];

/** `pilotboat run`. */
export async function run(args: readonly string[], host: Host): Promise<number> {
  const { words, command } = splitCommandLine(args);
  const { given, errors } = parseFlags(FLAGS, words, { isLenient: false });
  if (given.get("help") === true) {
    host.stdout.write(HELP);
    return 0;
  }
  if (errors.length > 0) throw usage(errors.map(({ message }) => message).join("; "));
  const [file, ...rest] = command;
  if (file === undefined || file === "") throw usage("Cannot run nothing: a command is wanted after the flags");
  const options = readOptions(given, host);
  if (options.local?.resources !== undefined) await checkNamedFolder(options.local.resources, "--resources");
  const stderr = lossyOutput(host.stderr); // an unread log must not hold up Envoy
  try {
    return await runApplication({ ...options, command: [file, ...rest] }, { ...host, stderr });
  } catch (error) {
    await finishOutput(stderr);
    const code = error instanceof AgentError ? SHELL_CODES[error.code] : undefined;
    if (code === undefined) throw error;
    const { message } = error as AgentError;
    host.stderr.write(`Error: ${escapeLine(message)} [${(error as AgentError).code}]\n`);
    return code;
  } finally {
    await finishOutput(stderr);
  }
}

const SHELL_CODES: Readonly<Record<string, number>> = { APPLICATION_NOT_EXECUTABLE: 126, APPLICATION_NOT_FOUND: 127 };

/** The command begins after `--`, or with the first word that is neither a flag nor a flag's value. */
function splitCommandLine(args: readonly string[]): { words: readonly string[]; command: readonly string[] } {
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    if (word === "--") return { words: args.slice(0, at), command: args.slice(at + 1) };
    if (!word.startsWith("-")) return { words: args.slice(0, at), command: args.slice(at) };
    if (takesNextWord(word)) at++;
  }
  return { words: args, command: [] };
}

function takesNextWord(word: string): boolean {
  return FLAGS.some(({ name, type }) => word === `--${name}` && type !== "bool");
}

type Given = ParsedFlags["given"];

function readOptions(given: Given, host: Host): Omit<RunOptions, "command"> {
  const isLocal = given.get("local") === true;
  for (const name of ["resources", "app-port"]) {
    if (given.has(name) && !isLocal) throw usage(`--${name} is for --local`);
  }
  if (isLocal) refuseProxyFlags(given);
  const onFetch = showFetch(host, (line) => void host.stderr.write(`pilotboat: ${line}\n`));
  return {
    flags: proxyFlags(given),
    readyTimeoutMs: readDuration(given, "ready-timeout", 60_000),
    isVerbose: given.get("verbose") === true,
    local: isLocal ? { ...localOptions(given, host.cwd), onFetch } : undefined,
  };
}

function localOptions(given: Given, cwd: string): Omit<LocalRunOptions, "onFetch"> {
  const [resources, appPort] = [given.get("resources"), given.get("app-port")];
  return {
    ...(resources === undefined ? {} : { resources: resolve(cwd, String(resources)) }),
    ...(appPort === undefined ? {} : { appPort: parseServicePort("--app-port", String(appPort)) }),
  };
}

/** A mesh of its own says everything else to its sidecar by itself. */
const LOCAL_FLAGS: readonly string[] = [
  ...OWN_FLAGS.map(({ name }) => name),
  ...LOG_FLAGS.map(({ name }) => name),
  ...["envoy", "envoy-version", "drain-delay", "stop-deadline"],
];

function refuseProxyFlags(given: Given): void {
  const refused = [...given.keys()].filter((name) => !LOCAL_FLAGS.includes(name));
  if (refused.length > 0) throw usage(`${refused.map((name) => `--${name}`).join(", ")} cannot be used with --local`);
}

function proxyFlags(given: Given): string[] {
  return [...given].flatMap(([name, value]) => {
    if (OWN_FLAGS.some((own) => own.name === name)) return [];
    return (Array.isArray(value) ? value : [value]).map((one) => `--${name}=${String(one)}`);
  });
}

function readDuration(given: Given, name: string, otherwiseMs: number): number {
  const text = given.get(name);
  if (text === undefined) return otherwiseMs;
  const duration = parseGoDuration(String(text));
  if (duration !== undefined && duration > 0n) return toMs(duration);
  throw usage(`Cannot read --${name} "${String(text)}": expected a duration such as 90s`);
}

function usage(message: string): AgentError {
  return new AgentError("USAGE", message, { hint: 'See "pilotboat run --help"' });
}
