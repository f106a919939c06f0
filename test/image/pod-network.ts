import { spawn } from "node:child_process";
import { request } from "node:http";
import { join, resolve } from "node:path";
import { splitHostPort } from "../../src/base/index.ts";
// @ts-expect-error a plain script without types
import { relay } from "../fixtures/relay.mjs";

/** Addresses of `test/fixtures/pod-network.mjs`. */
export const NODE_ADDRESS = "10.99.0.1";
export const POD_ADDRESS = "10.99.0.2";
/** Of the node's server that answers with the headers it was sent. */
export const ECHO_PORT = 9_080;

export const ISTIOD_PORT = 15_012;
const POD_PORTS = [8_080, 15_020, 15_021, 15_090];

/** The network namespaces of a pod and its node. */
export interface PodNetwork extends AsyncDisposable {
  /** A process in the pod's namespace. */
  readonly pid: number;
  /** A request from the node to the pod's address. Resolves with status 0 while nobody answers. */
  get(port: number, path: string, limitMs?: number): Promise<{ readonly status: number; readonly text: string }>;
}

/** Takes root, and a kernel that lets it make namespaces. `istiod` is `host:port` on this machine: NODE:15012 in the pod. */
export async function startNetwork(folder: string, istiod: string): Promise<PodNetwork> {
  const to = splitHostPort(istiod);
  if (typeof to === "string") throw new Error(to);
  const out = relay({ host: to.host, port: Number(to.port) });
  await new Promise<void>((done) => out.listen(join(folder, `out-${ISTIOD_PORT}`), done));
  const words = [resolve("test/fixtures/pod-network.mjs"), folder, String(ISTIOD_PORT), POD_PORTS.join(",")];
  const child = spawn("unshare", ["--net", process.execPath, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  const closed = new Promise<void>((done) => child.once("close", () => done()));
  const pid = await new Promise<number>((done, fail) => {
    child.stdout.once("data", (text) => done(Number(text)));
    child.once("close", (code) => fail(new Error(`the pod's network ended with ${code}`)));
  });
  return {
    pid,
    get: (port, path, limitMs = 5_000) => ask(join(folder, `in-${port}`), path, limitMs),
    async [Symbol.asyncDispose]() {
      child.kill();
      out.close();
      await closed;
    },
  };
}

function ask(socketPath: string, path: string, timeout: number): Promise<{ status: number; text: string }> {
  return new Promise((done) => {
    const sent = request({ socketPath, path, headers: { host: "pod" }, agent: false, timeout }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      answer.on("error", () => done({ status: 0, text }));
      answer.on("end", () => done({ status: answer.statusCode ?? 0, text }));
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", () => done({ status: 0, text: "" })).end();
  });
}
