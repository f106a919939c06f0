import { relative } from "node:path";
import { AgentError } from "./errors.ts";

/** Linux allows 107 bytes and a terminating zero, macOS 103. */
const LONGEST_SOCKET_PATH = process.platform === "darwin" ? 103 : 107;

/** Whether the platform takes a socket path as it stands; Node 20 cuts a longer one off without a word. */
export function isSocketPathShort(path: string): boolean {
  return Buffer.byteLength(path) <= LONGEST_SOCKET_PATH;
}

/**
 * The path by which this process reaches the socket at `path`: the path itself, or, where that is too long, the path
 * from the working directory. Throws SOCKET_PATH_TOO_LONG when both are.
 */
export function shortSocketPath(path: string): string {
  if (isSocketPathShort(path)) return path;
  const fromHere = relative("", path);
  if (isSocketPathShort(fromHere)) return fromHere;
  const length = Buffer.byteLength(path);
  throw new AgentError(
    "SOCKET_PATH_TOO_LONG",
    `Cannot use socket "${path}": the path has ${length} bytes, at most ${LONGEST_SOCKET_PATH} are possible`,
    {
      hint: `Use a folder whose path is at least ${length - LONGEST_SOCKET_PATH} bytes shorter, with --run-folder, or start in this one`,
    },
  );
}
