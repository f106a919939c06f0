import { chmod, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { GivenFile, ProxyInput } from "./input.ts";
import type { Places } from "./observe.ts";

/** What is the same for every input. */
export interface Given {
  readonly files: Readonly<Record<string, GivenFile>>;
  /** Texts that a file can name, as `{pem:NAME}`. */
  readonly pems: Readonly<Record<string, string>>;
}

/** Makes the folder ready for one run. Disposing the result ends what listens there. */
export async function furnish(folder: string, given: Given, input: ProxyInput): Promise<Places & AsyncDisposable> {
  const places = { root: join(folder, "root"), record: join(folder, "record") };
  for (const place of Object.values(places)) await rm(place, { recursive: true, force: true });
  for (const place of [...Object.values(places), join(folder, "bin")]) await mkdir(place, { recursive: true });
  await chmod(places.record, 0o777);
  await writeFile(join(folder, "bin/envoy"), await envoyScript(places, input), { mode: 0o755 });
  const hosts = ["127.0.0.1 localhost", "::1 localhost", ...(input.hosts ?? []), ""];
  await writeFile(join(folder, "hosts"), hosts.join("\n"));
  await writeFile(join(folder, "resolv.conf"), "nameserver 127.0.0.1\n"); // refuses at once
  const files = { ...given.files, ...input.files };
  const servers: Server[] = [];
  for (const [path, file] of Object.entries(files)) {
    if (file === undefined) continue;
    const server = await give(join(places.root, path), file, given.pems);
    if (server !== undefined) servers.push(server);
  }
  return {
    ...places,
    given: new Set(Object.keys(files)),
    async [Symbol.asyncDispose]() {
      for (const server of servers) server.forceShutdown();
    },
  };
}

async function envoyScript(places: Readonly<Record<"root" | "record", string>>, input: ProxyInput): Promise<string> {
  const words: Readonly<Record<string, string>> = { ...places, ...endOf(input.envoyEnds ?? 0) };
  const script = await readFile(resolve("test/parity/proxy/envoy.sh"), "utf8");
  return script.replaceAll(/@(\w+)@/g, (_, name: string) => words[name] ?? "");
}

/** What Envoy does before its end, and its exit code. A shell hears a signal between two short sleeps. */
function endOf(ends: NonNullable<ProxyInput["envoyEnds"]>): { readonly wait: string; readonly code: string } {
  if (typeof ends === "number") return { wait: "", code: String(ends) };
  const steps = (ends === "when told" ? 60 : ends.afterSeconds) * 20;
  return { wait: `trap 'exit 0' TERM\nfor step in $(seq ${steps}); do sleep 0.05; done`, code: "0" };
}

async function give(path: string, file: GivenFile, pems: Given["pems"]): Promise<Server | undefined> {
  await mkdir(dirname(path), { recursive: true });
  if (file === "a gRPC server") return await listen(path);
  if (typeof file !== "string") await symlink(file.link, path);
  else
    await writeFile(
      path,
      file.replaceAll(/\{pem:(\w+)\}/g, (_, name: string) => pems[name] ?? ""),
    );
  return undefined;
}

async function listen(path: string): Promise<Server> {
  const server = new Server();
  await new Promise<void>((done, fail) =>
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? done() : fail(error),
    ),
  );
  return server;
}
