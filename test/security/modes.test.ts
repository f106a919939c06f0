import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Runtime, runtimes } from "../support/pilotboat.ts";
import { startVictim } from "./rig.ts";

/** A row of the table "Modes" in docs/security.md. */
interface Row {
  readonly kind: string;
  readonly mode: string;
  readonly modeInPod: string;
}

/** By path below the run folder. */
function table(): Map<string, Row> {
  const [, section = ""] = readFileSync("docs/security.md", "utf8").split("## Modes");
  const rows = section.matchAll(/^\| `([^`]+)` \| (\w+) \| (\d{4}) \| (\d{4}) \|/gm);
  return new Map(
    [...rows].map(([, path = "", kind = "", mode = "", modeInPod = ""]) => [path, { kind, mode, modeInPod }]),
  );
}

/** What is there, in the same form. Left out are the folders above, and what the control plane keeps for itself. */
function look(folder: string, isPod: boolean): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => !/^(etc|etc\/istio|var|var\/run|var\/run\/secrets|ca(\/.*)?)$/.test(path))
    .map((path) => {
      const found = statSync(join(folder, path));
      const kind = found.isDirectory() ? "folder" : found.isSocket() ? "socket" : "file";
      const mode = (found.mode & 0o7777).toString(8).padStart(4, "0");
      return `${path} ${kind} ${mode}${found.uid === process.getuid?.() ? "" : ` of uid ${found.uid}`}${isPod ? " in a pod" : ""}`;
    })
    .sort();
}

const rowsOf = (isPod: boolean): string[] =>
  [...table()]
    .map(([path, { kind, mode, modeInPod }]) => `${path} ${kind} ${isPod ? `${modeInPod} in a pod` : mode}`)
    .sort();

const withUmask = ({ name, command }: Runtime, umask: string): Runtime => ({
  name,
  command: ["sh", "-c", `umask ${umask} && exec "$@"`, "sh", ...command],
});

describe.each(runtimes())("the files and sockets of $name", (runtime) => {
  test.each([
    ["022", false],
    ["000", false],
    ["027", false],
    ["000", true],
  ])("hostile 7: with umask %s they are what docs/security.md says (in a pod: %s)", async (umask, isPod) => {
    await using victim = await startVictim(withUmask(runtime, umask), {
      env: {
        OUTPUT_CERTS: "./",
        GRPC_XDS_BOOTSTRAP: "./grpc.json",
        ...(isPod ? { KUBERNETES_SERVICE_HOST: "127.0.0.1" } : {}),
      },
    });
    await expect.poll(() => look(victim.sandbox.folder, isPod)).toEqual(rowsOf(isPod));
  });
});
