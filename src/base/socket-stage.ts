import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, chown, link, lstat, mkdir, open, rename, rm, rmdir, unlink } from "node:fs/promises";
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
    await mkdir(folder.at(name), 0o700);
    const inside = await openPrivate(folder.at(name));
    // its name is chosen anew each time: Node removes what has it when the server closes
    const staged = `${inside.here}/${randomBytes(3).toString("hex")}`;
    let isPlaced = false;
    return {
      path: staged,
      async place({ mode, owner }) {
        await chmod(staged, mode);
        if (owner !== undefined) await chown(staged, owner.uid, owner.gid);
        const { ino, dev } = await lstat(staged);
        const target = folder.at(basename(path));
        await moveTo(staged, target);
        isPlaced = true;
        return {
          async [Symbol.asyncDispose]() {
            const now = await lstat(target).catch(() => undefined); // removed already
            if (now?.ino === ino && now.dev === dev) await unlink(target).catch(() => undefined);
            await folder[Symbol.asyncDispose]();
          },
        };
      },
      async [Symbol.asyncDispose]() {
        await rm(staged, { force: true });
        await inside[Symbol.asyncDispose]();
        await rmdir(folder.at(name)).catch(() => undefined); // in a folder of everybody somebody may have moved it
        if (!isPlaced) await folder[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

/** In a folder that others can write, another one may have taken the place of the new one. */
async function openPrivate(path: string): Promise<{ readonly here: string } & AsyncDisposable> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const { uid, mode } = await folder.stat();
  const isOurs = uid === (process.geteuid?.() ?? uid) && (mode & 0o077) === 0;
  if (process.platform === "linux" && isOurs) {
    return { here: `/proc/self/fd/${folder.fd}`, [Symbol.asyncDispose]: () => folder.close() };
  }
  await folder.close();
  if (!isOurs) throw untrusted(path, "was exchanged by another user");
  return { here: path, [Symbol.asyncDispose]: async () => undefined };
}

/** Not by `rename` where it can be helped: that would replace what just came there. */
async function moveTo(staged: string, target: string): Promise<void> {
  try {
    await link(staged, target);
  } catch (error) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "ENOSYS"].includes(systemCode(error) ?? "")) throw error;
    const isThere = await lstat(target).then(Boolean, () => false);
    if (isThere) throw Object.assign(new Error("the name is in use"), { code: "EEXIST" });
    await rename(staged, target); // a file system without second names
  }
}
