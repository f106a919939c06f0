import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Runtime } from "./pilotboat.ts";

/** A name server's address that nothing else on a machine uses. */
const SERVER = "127.53.53.53";

/** Commands in here see a name server that never answers, or knows no name, and an `/etc/hosts` of the test's. */
export interface SilentNames extends AsyncDisposable {
  /** From now on there is no such name, whatever is asked; or no answer again. */
  denyAll(isDenied?: boolean): void;
  inside(runtime: Runtime): Runtime;
  /** How many questions the server has got. */
  questions(): number;
  setHosts(text: string): Promise<void>;
}

/** Why there can be no mount namespace here; undefined where there can. */
export function whyNoMounts(): string | undefined {
  try {
    execFileSync("unshare", ["-m", "true"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "files of /etc can only be replaced by root on Linux";
  }
}

export async function silentNames(hosts = ""): Promise<SilentNames> {
  const folder = await mkdtemp(join(tmpdir(), "pb-names-"));
  const [hostsFile, resolvFile] = [join(folder, "hosts"), join(folder, "resolv.conf")];
  const setHosts = (text: string): Promise<void> => writeFile(hostsFile, `127.0.0.1 localhost\n${text}\n`);
  await setHosts(hosts);
  await writeFile(resolvFile, `nameserver ${SERVER}\n`);
  let questions = 0;
  let isDenying = false;
  const socket = createSocket("udp4").on("message", (query, from) => {
    questions++;
    if (!isDenying) return;
    query.writeUInt16BE(0x8183, 2); // RFC 1035 section 4.1.1: an answer, NXDOMAIN
    socket.send(query, from.port, from.address);
  });
  await new Promise<void>((done) => socket.bind(53, SERVER, done));
  const mounts = `mount --bind ${hostsFile} /etc/hosts && mount --bind ${resolvFile} /etc/resolv.conf`;
  return {
    inside: ({ name, command }) => ({
      name,
      command: ["unshare", "-m", "sh", "-c", `${mounts} && exec "$@"`, "sh", ...command],
    }),
    denyAll(isDenied = true) {
      isDenying = isDenied;
    },
    questions: () => questions,
    setHosts,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((done) => socket.close(() => done()));
      await rm(folder, { recursive: true });
    },
  };
}
