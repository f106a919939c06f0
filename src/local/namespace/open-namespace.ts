import { closeSync, openSync } from "node:fs";
import { AgentError, describeError, isStopped, type Logger, silentLogger } from "../../base/index.ts";
import { type ProgramOutput, runProgram } from "../../host/index.ts";
import { redirectTraffic } from "../../redirect/index.ts";
import { NAMESPACE_RULES } from "./rules.ts";

/** A network namespace of its own, whose traffic is redirected. It lives as long as this process, or what runs in it. */
export interface Namespace extends AsyncDisposable {
  /** A file of it, which root can open while this process lives. */
  readonly path: string;
}

export interface NamespaceOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where Envoy will listen in it. */
  readonly outboundPort: number;
  readonly log: Logger;
  readonly stop: AbortSignal;
}

/** The application's own address, and the one where it finds the agent's DNS server: none of a real network. Source: RFC 5737. */
const OWN_ADDRESS = "192.0.2.2";
export const NAME_SERVER = "192.0.2.1";

/**
 * Both ends of the veth pair stay inside. It is there because the rules leave alone what leaves by the loopback interface,
 * and a route has to lead to another one. It waits to be opened until its input ends.
 */
const SET_UP = `set -e
ip link set lo up
ip link add eth0 type veth peer name eth1
ip link set eth1 up
ip link set eth0 up
ip address add ${OWN_ADDRESS}/32 dev eth0
ip address add ${NAME_SERVER}/32 dev lo
ip route add default dev eth0
echo made
exec cat`;

/**
 * Makes a network namespace with one address, a default route and the rules that send its TCP and DNS to Envoy. Nothing of
 * the machine's own network changes. Rejects with REDIRECT_NOT_POSSIBLE, PROGRAM_NOT_FOUND, or what the rules reject with.
 */
export async function openNamespace(options: NamespaceOptions): Promise<Namespace> {
  const descriptor = await make(options);
  const path = `/proc/${process.pid}/fd/${descriptor}`;
  try {
    await redirect(path, options);
    return { path, [Symbol.asyncDispose]: async () => closeSync(descriptor) };
  } catch (error) {
    closeSync(descriptor);
    throw explained(error);
  }
}

/** Throws REDIRECT_NOT_POSSIBLE. */
export function checkUser(): void {
  if (process.platform !== "linux") {
    throw new AgentError(
      "REDIRECT_NOT_POSSIBLE",
      `Cannot make a network namespace on ${process.platform}: only Linux has them`,
      {
        hint: "Without --netns and --transparent applications send requests to a port of Envoy.",
      },
    );
  }
  const uid = process.geteuid?.();
  if (uid === 0) return;
  throw new AgentError("REDIRECT_NOT_POSSIBLE", `Cannot make a network namespace as user ${uid}, wanted root`, {
    hint: "Start pilotboat with sudo; the application then runs as the user who called sudo.",
  });
}

const LIMIT_MS = 20_000;

/** Resolves with a descriptor of the namespace, by which the kernel keeps it. */
async function make({ env, stop }: NamespaceOptions): Promise<number> {
  let descriptor: number | undefined;
  let failure: unknown;
  let stderr = "";
  const output: ProgramOutput = {
    stdio: ["pipe", "pipe", "pipe"],
    begin(child) {
      child.stdin?.on("error", () => undefined);
      child.stderr?.on("data", (chunk: Buffer) => {
        stderr += chunk.toString("utf8");
      });
      child.stdout?.once("data", () => {
        try {
          descriptor = openSync(`/proc/${child.pid}/ns/net`, "r");
        } catch (error) {
          failure = error;
        }
        child.stdin?.end();
      });
    },
  };
  const words = ["--net", "--", "sh", "-c", SET_UP];
  try {
    const { code } = await runProgram("unshare", words, { env: withSystemPath(env), limitMs: LIMIT_MS, stop, output });
    if (code === 0 && descriptor !== undefined) return descriptor;
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    throw explained(error);
  }
  const said = failure === undefined ? stderr.trim() : describeError(failure);
  throw new AgentError(
    "REDIRECT_NOT_POSSIBLE",
    `Cannot make a network namespace: ${said || "unshare printed nothing"}`,
    {
      hint: "It needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, the program ip, and a kernel with veth.",
    },
  );
}

function explained(error: unknown): unknown {
  if (!isNotThere(error) || (error instanceof AgentError && error.hint !== undefined)) return error;
  return new AgentError("PROGRAM_NOT_FOUND", `Cannot make a network namespace: ${describeError(error)}`, {
    hint: 'Install the packages "util-linux" and "iproute2" of the system.',
    cause: error,
  });
}

/** By iptables, or by nft where the machine has no iptables that works. */
async function redirect(path: string, { env, outboundPort, log, stop }: NamespaceOptions): Promise<void> {
  const settings = { ...NAMESPACE_RULES, proxyPort: String(outboundPort), networkNamespace: path };
  const options = { settings, origin: (setting: string) => setting, env, log: silentLogger, stop };
  try {
    await redirectTraffic(options);
  } catch (error) {
    if (isStopped(error) || !(error instanceof AgentError) || error.code !== "REDIRECT_NOT_POSSIBLE") throw error;
    log.info(`nft makes the rules: ${describeError(error)}`);
    await redirectTraffic({ ...options, settings: { ...settings, nativeNftables: true } }).catch((other: unknown) => {
      throw isStopped(other) || !isNotThere(other) ? other : error;
    });
  }
}

function isNotThere(error: unknown): boolean {
  return error instanceof AgentError && error.code === "PROGRAM_NOT_FOUND";
}

/** sudo, cron and containers may leave out the folders of administration. */
export function withSystemPath(env: NamespaceOptions["env"]): Record<string, string | undefined> {
  const path = [env.PATH ?? "", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].filter((part) => part !== "").join(":");
  return { ...env, LC_ALL: "C", PATH: path };
}
