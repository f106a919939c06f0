import { type IncomingHttpHeaders, request } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { resolve } from "node:path";
import type { RunningCommand, Runtime } from "../support/pilotboat.ts";
import { createSandbox, type ProxyOptions, type Sandbox } from "../support/sandbox.ts";

const FAKE_ENVOY = resolve("test/fixtures/fake-envoy");

/** An agent that is attacked. */
export interface Victim extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly agent: RunningCommand;
  /** Asks the status port. */
  ask(path: string, headers?: Readonly<Record<string, string>>): Promise<Asked>;
}

/** A ready agent, with a fake in Envoy's place unless `proxyConfig` names another. */
export async function startVictim(runtime: Runtime, { proxyConfig, env, args }: ProxyOptions = {}): Promise<Victim> {
  const sandbox = await createSandbox(runtime);
  const controlPlane = await sandbox.startControlPlane();
  const agent = await sandbox.startProxy({
    proxyConfig: { binaryPath: FAKE_ENVOY, ...proxyConfig },
    ...(env === undefined ? {} : { env }),
    ...(args === undefined ? {} : { args }),
  });
  const dispose = async (): Promise<void> => {
    await agent[Symbol.asyncDispose]();
    await controlPlane[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
  };
  try {
    await agent.waitFor(/Readiness succeeded/);
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    sandbox,
    agent,
    ask: (path, headers) => ask(sandbox.ports.status, path, headers),
    [Symbol.asyncDispose]: dispose,
  };
}

export interface Asked {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Of the body; only the first megabyte is kept in `text`. */
  readonly bytes: number;
  readonly text: string;
  /** The answer broke off. */
  readonly isBroken: boolean;
}

const KEPT_BYTES = 2 ** 20;

export function ask(port: number, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Asked> {
  return new Promise((done, fail) => {
    request({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
      let bytes = 0;
      let text = "";
      response.on("data", (chunk: Buffer) => {
        if (bytes < KEPT_BYTES) text += chunk.toString("latin1");
        bytes += chunk.length;
      });
      const end = (isBroken: boolean): void =>
        done({ status: response.statusCode ?? 0, headers: response.headers, bytes, text, isBroken });
      response.once("end", () => end(false)).once("error", () => end(true));
    })
      .once("error", fail)
      .end();
  });
}

/** Listens on the loopback; 0 takes a free port. */
export async function listenOn<T extends Server>(server: T, port = 0): Promise<number> {
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  return (server.address() as AddressInfo).port;
}
