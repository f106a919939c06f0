import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

/** What a peer prints. */
export interface Answer {
  readonly serving?: number;
  /** The server's port that answered. */
  readonly port?: number;
  /** The certificates that each side was shown. */
  readonly client?: { readonly name: string; readonly serial: string };
  readonly server?: { readonly name: string; readonly serial: string };
  readonly error?: string;
}

/** A real gRPC application in a process of its own. */
export interface GrpcPeer extends AsyncDisposable {
  next(): Promise<Answer>;
  /** Of a client: a call, of grpc-go's on the channel with that number. */
  call(channel?: number): Promise<Answer>;
}

/** The words that start a peer in grpc-js. Another one in grpc-go is built with the test cluster. */
export const GRPC_JS = [process.execPath, resolve("test/fixtures/grpc-peers/peer.mjs")] as const;

export function startGrpcPeer(program: readonly string[], words: readonly string[], bootstrap: string): GrpcPeer {
  const [file = "", ...before] = program;
  const env = { PATH: process.env.PATH, GRPC_XDS_BOOTSTRAP: bootstrap };
  const peer: ChildProcess = spawn(file, [...before, ...words], {
    cwd: "/", // an application works in a folder of its own
    env,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise<void>((done) => peer.once("close", () => done()));
  const lines = createInterface({ input: peer.stdout as NonNullable<ChildProcess["stdout"]> })[Symbol.asyncIterator]();
  const next = async (): Promise<Answer> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the gRPC peer "${words.join(" ")}" has ended`);
    return JSON.parse(value as string) as Answer;
  };
  return {
    next,
    call(channel = 0) {
      peer.stdin?.write(`${channel}\n`);
      return next();
    },
    async [Symbol.asyncDispose]() {
      peer.kill("SIGKILL");
      await ended;
    },
  };
}
