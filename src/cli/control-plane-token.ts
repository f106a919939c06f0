import { join, resolve } from "node:path";
import { AgentError, describeError, type Logger, parseGoDuration, toMs } from "../base/index.ts";
import {
  askForToken,
  type ControlPlane,
  findControlPlanes,
  openTokenDesk,
  type RunningControlPlane,
  writeCredentials,
} from "../control-plane/index.ts";
import { type Host, xdgFolder } from "../host/index.ts";
import { isNamespaceName, isServiceAccountName, KUBERNETES_NAME } from "../istio/index.ts";
import { parsePort } from "./parse-port.ts";

export interface TokenFlags {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly port: string | undefined;
  readonly duration: string | undefined;
  readonly writeCredentials: string | undefined;
}

/** Lets `control-plane token` reach this control plane. A failure is only a warning. Never rejects. */
export async function openDesk(controlPlane: ControlPlane, host: Host, log: Logger): Promise<AsyncDisposable> {
  return openTokenDesk(controlPlane, tokenDesks(host)).catch((error: unknown) => {
    log.warn('"pilotboat control-plane token" cannot reach this control plane', { error: describeError(error) });
    return { [Symbol.asyncDispose]: async () => undefined };
  });
}

/** The folder with the sockets at which this user's control planes give out tokens. */
function tokenDesks({ env }: Host): string {
  return join(xdgFolder(env, "XDG_STATE_HOME", ".local/state"), "pilotboat", "control-planes");
}

/** `pilotboat control-plane token`: prints a token, or writes it with the root where a sidecar looks. */
export async function mintToken(flags: TokenFlags, host: Host): Promise<void> {
  const workload = checkWorkload(flags);
  const ttlMs = flags.duration === undefined ? undefined : parseTtl(flags.duration);
  const from = choose(await findControlPlanes(tokenDesks(host)), flags.port, tokenDesks(host));
  const { token, rootPem } = await askForToken(from, { workload, ttlMs });
  if (flags.writeCredentials === undefined) {
    host.stdout.write(`${token.revealText()}\n`);
    return;
  }
  const folder = resolve(host.cwd, flags.writeCredentials);
  await writeCredentials({ rootPem, mintToken: async () => token }, folder, workload);
  host.stdout.write(`control plane  localhost:${from.port}\ncredentials    ${folder}\n`);
}

/** Throws USAGE for names that Kubernetes refuses: a token for such a name could speak for another workload. */
export function checkWorkload({ namespace, serviceAccount }: Pick<TokenFlags, "namespace" | "serviceAccount">) {
  if (!isNamespaceName(namespace))
    throw new AgentError("USAGE", `Cannot use --namespace "${namespace}", wanted ${KUBERNETES_NAME}`);
  if (!isServiceAccountName(serviceAccount)) {
    throw new AgentError("USAGE", `Cannot use --service-account "${serviceAccount}", wanted ${KUBERNETES_NAME}`);
  }
  return { namespace, serviceAccount };
}

function parseTtl(text: string): number {
  const ns = parseGoDuration(text);
  if (ns === undefined || ns < 1_000_000_000n) {
    throw new AgentError("USAGE", `Cannot use --duration "${text}", wanted a time of at least 1s such as 30m or 12h`);
  }
  return toMs(ns);
}

function choose(running: readonly RunningControlPlane[], wanted: string | undefined, folder: string) {
  const port = wanted === undefined ? undefined : parsePort("--port", wanted);
  const fitting = running.filter((one) => port === undefined || one.port === port);
  const [only] = fitting;
  if (only !== undefined && fitting.length === 1) return only;
  const others = running.map((one) => `port ${one.port} (pid ${one.pid})`).join(", ");
  if (only !== undefined) {
    throw new AgentError("USAGE", `Cannot choose a control plane, several run here: ${others}`, {
      hint: "Choose it with --port",
    });
  }
  const at = port === undefined ? "" : ` at port ${port}`;
  const there =
    others === "" ? `no control plane of this user runs here (looked in "${folder}")` : `there are ${others}`;
  throw new AgentError("REQUEST_FAILED", `Cannot get a token${at}: ${there}`, {
    hint: 'Start one with "pilotboat control-plane --dir FOLDER"',
  });
}
