import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { AgentError, describeError, readTextFile, writeFileAtomically } from "../../base/index.ts";
import { type Host, runProgram } from "../../host/index.ts";
import { NAME_SERVER, withSystemPath } from "./open-namespace.ts";

const RESOLV_CONF = "/etc/resolv.conf";
const NSSWITCH_CONF = "/etc/nsswitch.conf";
/** Answers names from a cache of the whole machine, past resolv.conf. */
const NSCD_SOCKET = "/var/run/nscd/socket";

/**
 * In a mount namespace of its own the program sees other files in /etc. Each program of the command line executes the next
 * one, so that the process and its parent stay the same. What is mounted already stays: it can run again.
 */
const ENTER = `files=$1; shift
cover() { [ "$1" -ef "$2" ] || mount --bind "$1" "$2" || exit 125; }
cover "$files/resolv.conf" ${RESOLV_CONF}
if [ -e "$files/nsswitch.conf" ]; then cover "$files/nsswitch.conf" ${NSSWITCH_CONF}; fi
if [ -S ${NSCD_SOCKET} ]; then cover /dev/null ${NSCD_SOCKET}; fi
exec "$@"`;

/** The way into a namespace. */
export interface Way {
  /** Words before a command line, which run it inside. */
  readonly words: readonly string[];
  /** Words of a program that covers again what the program in this mount namespace, a file, sees of the machine's names. */
  coverAgain(mountNamespace: string): readonly string[];
}

/** `path` is the file of the network namespace, `files` the folder that `writeNameFiles` filled. */
export function wayInto(path: string, files: string): Way {
  const cover = ["sh", "-c", ENTER, "sh", files];
  return {
    words: ["nsenter", `--net=${path}`, "--", "unshare", "--mount", "--", ...cover],
    coverAgain: (mountNamespace) => ["nsenter", `--mount=${mountNamespace}`, "--", ...cover, "true"],
  };
}

/** Changes whenever the machine replaces a file that is covered: the kernel takes the cover away with the previous one. */
export async function coveredFiles(): Promise<string> {
  const all = await Promise.all(
    [RESOLV_CONF, NSSWITCH_CONF, NSCD_SOCKET].map((path) => stat(path).catch(() => undefined)),
  );
  return all.map((file) => (file === undefined ? "-" : `${file.dev}:${file.ino}:${file.ctimeMs}`)).join(" ");
}

/**
 * Writes what programs in the namespace read in place of the machine's own files: names are asked of the agent, and of
 * nobody else on the machine. Rejects with FILE_UNREADABLE or FILE_UNWRITABLE.
 */
export async function writeNameFiles(folder: string): Promise<void> {
  const resolvConf = await readTextFile(RESOLV_CONF).catch((error: unknown) => {
    const text = `Cannot read "${RESOLV_CONF}", wanted for names outside of the mesh: ${describeError(error)}`;
    throw new AgentError("FILE_UNREADABLE", text, { cause: error });
  });
  await writeFileAtomically(join(folder, "resolv.conf"), withNameServer(resolvConf), { mode: 0o644 });
  const nsswitch = withoutOtherResolvers(await readFile(NSSWITCH_CONF, "utf8").catch(() => ""));
  if (nsswitch !== undefined) await writeFileAtomically(join(folder, "nsswitch.conf"), nsswitch, { mode: 0o644 });
}

/** Search list and options stay. */
export function withNameServer(resolvConf: string): string {
  const others = resolvConf.split("\n").filter((line) => !/^\s*nameserver\b/.test(line));
  return [`nameserver ${NAME_SERVER}`, ...others].join("\n");
}

/** Undefined where hosts are looked up in files and by DNS alone, or there is no file. */
export function withoutOtherResolvers(nsswitch: string): string | undefined {
  const changed = nsswitch.replace(/^hosts:.*$/m, "hosts: files dns");
  return changed === nsswitch ? undefined : changed;
}

const LIMIT_MS = 20_000;

/** Runs `true` inside. Rejects with REDIRECT_NOT_POSSIBLE or PROGRAM_NOT_FOUND where that fails. */
export async function tryToEnter(
  words: readonly string[],
  { env, signals }: Pick<Host, "env" | "signals">,
): Promise<void> {
  const [file = "", ...args] = words;
  const options = { env: withSystemPath(env), limitMs: LIMIT_MS, stop: signals.stop };
  const { code, stderr } = await runProgram(file, [...args, "true"], options).catch((error: unknown) => {
    if (!(error instanceof AgentError) || error.code !== "PROGRAM_NOT_FOUND") throw error;
    throw new AgentError("PROGRAM_NOT_FOUND", `Cannot enter the network namespace: ${describeError(error)}`, {
      hint: 'Install the package "util-linux" of the system.',
      cause: error,
    });
  });
  if (code === 0) return;
  throw new AgentError("REDIRECT_NOT_POSSIBLE", `Cannot enter the network namespace: ${stderr.trim()}`, {
    hint: `It needs nsenter, unshare, mount, a file ${RESOLV_CONF}, and root with CAP_SYS_ADMIN.`,
  });
}
