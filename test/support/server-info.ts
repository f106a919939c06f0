/** The version in the answer of `/server_info`, such as `1.38.3`, or undefined. */
export function versionOf(serverInfo: string): string | undefined {
  return /"version": *"[0-9a-f]+\/(\d+\.\d+\.\d+)/.exec(serverInfo)?.[1];
}
