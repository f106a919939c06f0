import { type ChildProcess, fork } from "node:child_process";

// A benchmark's other processes: the same bundle, forked under the name of a role, and answering orders over IPC.

/** What a role answers, by the order's name. Orders and answers are JSON. */
// biome-ignore lint/suspicious/noExplicitAny: each role has orders of its own; `RoleProcess` keeps their types together
export type Orders = Record<string, (argument: any) => unknown>;

/** Starts a role with its settings; the process lives until the parent ends it. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export type Role = (settings: any) => Promise<Orders>;

export interface RoleProcess<O extends Orders> extends Disposable {
  readonly pid: number;
  /** Rejects with the role's own error, or when its process ends. */
  call<K extends keyof O & string>(order: K, argument: Parameters<O[K]>[0]): Promise<Awaited<ReturnType<O[K]>>>;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** Id of the answer that says that a role is ready for orders. */
const READY = 0;

/** Runs this process's role if it was forked for one, and `main` otherwise. The first failure ends the process with 1. */
export function runRoles(roles: Readonly<Record<string, Role>>, main: () => Promise<void>): void {
  const [, , flag, name = "", settings = ""] = process.argv;
  const role = flag === "--role" ? roles[name] : undefined;
  const run = role === undefined ? main() : play(role, JSON.parse(settings));
  run.catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
}

async function play(role: Role, settings: unknown): Promise<void> {
  const orders = await role(settings);
  const send = (answer: Answer): void => void process.send?.(answer);
  process.on("message", ({ id, order, argument }: { id: number; order: string; argument: unknown }) => {
    Promise.resolve()
      .then(() => orders[order]?.(argument))
      .then(
        (result) => send({ id, result }),
        (error: unknown) => send({ id, error: error instanceof Error ? (error.stack ?? error.message) : `${error}` }),
      );
  });
  process.once("disconnect", () => process.exit());
  send({ id: READY });
}

export async function startRole<O extends Orders>(name: string, settings: unknown): Promise<RoleProcess<O>> {
  const child = fork(process.argv[1] ?? "", ["--role", name, JSON.stringify(settings)]);
  const answers = new Answers(child, name);
  await answers.take(READY);
  let lastId = READY;
  return {
    pid: child.pid ?? 0,
    call(order, argument) {
      const id = ++lastId;
      const answer = answers.take(id);
      child.send({ id, order, argument });
      return answer as Promise<never>;
    },
    [Symbol.dispose]: () => void child.removeAllListeners("exit").kill(),
  };
}

class Answers {
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();

  constructor(child: ChildProcess, name: string) {
    child.on("message", ({ id, result, error }: Answer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(`${name}: ${error}`));
    });
    child.once("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${name} ended with ${code ?? signal}`));
    });
  }

  take(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }
}
