import { resolve } from "node:path";
import { finishOutput, type Host, lossyOutput } from "../host/index.ts";
import type { LocalRunOptions, RunOptions } from "../local/index.ts";
import { defineCommand, type Input, PROGRAM, PROXY_FLAGS } from "./contract/index.ts";
import { proxyFlags, RUN_FLAGS, readyTimeoutMs, runNews } from "./run-words.ts";

const OWN_FLAGS = [
  {
    name: "local",
    type: "bool",
    default: false,
    help: 'Also start a control plane and an example service, as "pilotboat up" does',
  },
  {
    name: "resources",
    type: "string",
    default: undefined,
    help: "With --local: folder with YAML files of Envoy resources; default: the built-in quickstart",
    value: "FOLDER",
  },
  {
    name: "app-port",
    type: "string",
    default: undefined,
    help: "With --local: port that your program listens on; the inbound side of the mesh leads to it",
    value: "PORT",
  },
  {
    name: "transparent",
    type: "bool",
    default: false,
    help: "In a network namespace, from which all traffic goes through Envoy: that of `up --netns`, or with --local one of its own (Linux, root)",
  },
  ...RUN_FLAGS,
] as const;

export const command = defineCommand({
  name: "run",
  group: "run",
  summary: "An application beside its sidecar: wait for ready, pass signals, return its exit code",
  description: [
    "Starts a sidecar, waits until it is ready, runs a program beside it, and stops both when the program exits. The exit code is the program's.",
    "The program gets your stdin, stdout and stderr; pilotboat and Envoy write to stderr.",
  ],
  usage: ["[flags] [--] PROGRAM [ARGUMENTS...]"],
  arguments: [{ name: "PROGRAM", help: "The application, with its arguments" }],
  flags: OWN_FLAGS,
  takesProxyFlags: true,
  words: "program",
  sections: async () => [
    {
      title: "Other defaults than those of proxy",
      text: "--restart=on-failure, --log_target=stderr, --stop-deadline=30s, the time that the program gets to exit after a signal; outside a pod also free ports in place of 15000, 15020, 15021 and 15090, unless you set them.",
    },
    {
      title: "Variables that the program gets",
      rows: [
        ["PILOTBOAT_STATUS_URL", "The agent's status port: /healthz/ready, /quitquitquit"],
        ["PILOTBOAT_ADMIN_URL", "Envoy's admin API"],
        ["PILOTBOAT_OUTBOUND_URL", "With --local: the listener to send requests to"],
        ["PILOTBOAT_NODE_ID", "The node id that the control plane sees"],
        ["PILOTBOAT_RUN_FOLDER", "Where the sidecar's files are"],
        ["GRPC_XDS_BOOTSTRAP", "For gRPC without Envoy"],
      ],
    },
    {
      title: "Signals",
      text: "SIGTERM and SIGINT drain inbound connections and are passed on to the program, which can send requests through Envoy until it exits. A second signal gives it 2 seconds, a third none. In a terminal the program gets Ctrl-C directly.",
    },
    {
      title: "Exit codes",
      text: "The program's own, or 128 + signal; 126 not executable; 127 not found; 1 the sidecar did not become ready, or Envoy's own when it exited and could not be restarted; 2 configuration.",
    },
  ],
  examples: [
    "pilotboat run --local --app-port 3000 -- node server.js",
    "pilotboat run --local -- sh -c 'curl -s $PILOTBOAT_OUTBOUND_URL/hello'",
    "sudo pilotboat run --transparent -- curl http://reviews:9080/hello   # beside `pilotboat up --netns`",
    `PROXY_CONFIG='{"discoveryAddress":"localhost:15012"}' POD_NAMESPACE=default SERVICE_ACCOUNT=default \\\n  pilotboat run -- ./nightly-report`,
  ],
  similar: ["exec", "wrap"],
  async run(input, host) {
    const [file, ...rest] = input.words;
    if (file === undefined || file === "") throw input.usage("Missing command after the flags");
    if (input.flags.transparent && !input.flags.local) return runTransparent(input, [file, ...rest], host);
    const [{ runApplication }, options] = await Promise.all([import("../local/index.ts"), readOptions(input, host)]);
    const stderr = lossyOutput(host.stderr); // an unread log must not hold up Envoy
    try {
      const own: Host = { ...host, stderr };
      return await runApplication({ ...options, ...runNews(own), command: [file, ...rest] }, own);
    } finally {
      await finishOutput(stderr); // before the reason of a failure is printed
    }
  },
});

type Words = Input<typeof OWN_FLAGS>;

/** In the namespace of a mesh that has a sidecar already: flags that would make one have no effect. */
async function runTransparent(
  { flags, given, usage }: Words,
  command: readonly [file: string, ...args: string[]],
  host: Host,
): Promise<number> {
  const known = ["transparent", "run-folder", "ready-timeout", "verbose"];
  const refused = [...given.keys()].filter((name) => !known.includes(name));
  if (refused.length > 0) {
    throw usage(`${refused.map((name) => `--${name}`).join(", ")} cannot be used with --transparent without --local`);
  }
  const named = given.get("run-folder");
  const { runInNamespace } = await import("../local/index.ts");
  return runInNamespace(
    {
      command,
      runFolder: typeof named === "string" && named !== "" ? resolve(host.cwd, named) : undefined,
      readyTimeoutMs: readyTimeoutMs(flags["ready-timeout"], usage),
      onGone: (pid) =>
        void host.stderr.write(
          `${host.program ?? PROGRAM}: the mesh of pid ${pid} is gone; what the program sends reaches nobody now\n`,
        ),
    },
    host,
  );
}

async function readOptions(input: Words, host: Host): Promise<Omit<RunOptions, "command" | "onReady" | "onFailure">> {
  const { flags, given, usage } = input;
  for (const name of ["resources", "app-port"]) {
    if (given.has(name) && !flags.local) throw usage(`--${name} needs --local`);
  }
  if (flags.local) refuseProxyFlags(input);
  const { showFetch } = await import("./progress-line.ts");
  const onFetch = showFetch(host, (line) => void host.stderr.write(`${host.program ?? PROGRAM}: ${line}\n`));
  return {
    flags: proxyFlags(given, OWN_FLAGS),
    readyTimeoutMs: readyTimeoutMs(flags["ready-timeout"], usage),
    isVerbose: flags.verbose,
    local: flags.local
      ? { ...(await localOptions(flags, host.cwd)), onFetch, isTransparent: flags.transparent }
      : undefined,
  };
}

async function localOptions(flags: Words["flags"], cwd: string): Promise<Omit<LocalRunOptions, "onFetch">> {
  const [{ checkNamedFolder }, { parseServicePort }] = await Promise.all([
    import("./named-path.ts"),
    import("./parse-port.ts"),
  ]);
  const { resources, "app-port": appPort } = flags;
  const folder = resources === undefined ? {} : { resources: resolve(cwd, resources) };
  if (folder.resources !== undefined) await checkNamedFolder(folder.resources, "--resources");
  return { ...folder, ...(appPort === undefined ? {} : { appPort: parseServicePort("--app-port", appPort) }) };
}

/** A mesh of its own says everything else to its sidecar by itself. */
const LOCAL_FLAGS = ["envoy", "envoy-version", "drain-delay", "stop-deadline"];

function refuseProxyFlags({ given, usage }: Words): void {
  const refused = PROXY_FLAGS.map(({ name }) => name)
    .filter((name) => given.has(name) && !name.startsWith("log_") && name !== "vklog")
    .filter((name) => !LOCAL_FLAGS.includes(name));
  if (refused.length > 0) throw usage(`${refused.map((name) => `--${name}`).join(", ")} cannot be used with --local`);
}
