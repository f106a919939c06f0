import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { systemCode } from "./errors.ts";
import type { Owner } from "./files.ts";
import { holdFolder, untrusted } from "./trust.ts";

/** A folder of mode 0700 beside the place of a socket, in which the socket is made. Disposing removes it. */
export interface SocketStage extends AsyncDisposable {
  /** Where to bind; short on Linux, however long the place's path is. */
  readonly path: string;
  /**
   * Gives the bound socket its mode and owner, and then its name, unless that is taken. Disposing the result takes the
   * name away, if it is still that socket's. Rejects with the system's error, EEXIST for a taken name.
   */
  place(access: { readonly mode: number; readonly owner: Owner | undefined }): Promise<AsyncDisposable>;
}

/**
 * A socket file's mode can be set only by its name (`fchmod` does not reach it), and a umask holds for the whole process,
 * for other threads' files, too. So a socket is made where nobody else can go, and moved when it is as it should be.
 */
export async function openStage(path: string): Promise<SocketStage> {
  const folder = await holdFolder(dirname(path));
  const name = `.${randomBytes(3).toString("hex")}`;
  try {
    mkdirSync(folder.at(name), 0o700);
    const inside = openPrivate(folder.at(name));
    // its name is chosen anew each time: Node removes what has it when the server closes
    const staged = `${inside.here}/${randomBytes(3).toString("hex")}`;
    let isPlaced = false;
    return {
      path: staged,
      async place({ mode, owner }) {
        chmodSync(staged, mode);
        if (owner !== undefined) chownSync(staged, owner.uid, owner.gid);
        const { ino, dev } = lstatSync(staged);
        const target = folder.at(basename(path));
        moveTo(staged, target);
        isPlaced = true;
        return {
          async [Symbol.asyncDispose]() {
            ignoreFailure(() => {
              const now = lstatSync(target); // throws when it is removed already
              if (now.ino === ino && now.dev === dev) unlinkSync(target);
            });
            await folder[Symbol.asyncDispose]();
          },
        };
      },
      async [Symbol.asyncDispose]() {
        ignoreFailure(() => unlinkSync(staged)); // mostly it was moved
        inside[Symbol.dispose]();
        ignoreFailure(() => rmdirSync(folder.at(name))); // in a folder of everybody somebody may have moved it
        if (!isPlaced) await folder[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

/** In a folder that others can write, another one may have taken the place of the new one. */
function openPrivate(path: string): { readonly here: string } & Disposable {
  const folder = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const { uid, mode } = fstatSync(folder);
  const isOurs = uid === (process.geteuid?.() ?? uid) && (mode & 0o077) === 0;
  if (process.platform === "linux" && isOurs) {
    return { here: `/proc/self/fd/${folder}`, [Symbol.dispose]: () => closeSync(folder) };
  }
  closeSync(folder);
  if (!isOurs) throw untrusted(path, "was exchanged by another user");
  return { here: path, [Symbol.dispose]: () => undefined };
}

/** Not by `rename` where it can be helped: that would replace what just came there. */
function moveTo(staged: string, target: string): void {
  try {
    linkSync(staged, target);
  } catch (error) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "ENOSYS"].includes(systemCode(error) ?? "")) throw error;
    const isThere = lstatSync(target, { throwIfNoEntry: false }) !== undefined;
    if (isThere) throw Object.assign(new Error("the name is in use"), { code: "EEXIST" });
    renameSync(staged, target); // a file system without second names
  }
}

function ignoreFailure(work: () => void): void {
  try {
    work();
  } catch {
    // what is left is no reason for another failure
  }
}
