import { createHash, randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { AgentError, startLimit } from "../base/index.ts";
import { type Generation, type KubeAnswer, type Line, type Upgraded, upgrade } from "./call.ts";
import { type KubeIdentity, refusal, unreachable } from "./refusal.ts";
import { type KubeResource, pathOf } from "./resource.ts";
import { ForwardedPort } from "./spdy.ts";
import { WebSocketStream } from "./web-socket.ts";

export interface ForwardOptions {
  readonly line: Line;
  readonly who: KubeIdentity;
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly port: number;
}

const PROTOCOL = "portforward.k8s.io";
const TUNNEL = `SPDY/3.1+${PROTOCOL}`;
/** RFC 6455 section 1.3. */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/**
 * One connection to a port of a pod. As current kubectl: SPDY inside of a WebSocket (API servers from 1.30 on), and SPDY
 * alone where somebody refuses the WebSocket, be it an older API server, a proxy, or a Role without "get".
 */
export async function forwardPort({ line, who, pod, port }: ForwardOptions, signal: AbortSignal): Promise<Duplex> {
  const what: KubeResource = { resource: "pods", ...pod, subresource: "portforward" };
  try {
    const tunnel = await authenticated(line, () => askWebSocket(line, pathOf(what), signal));
    if (tunnel.carrier !== undefined) return await openStream(line, tunnel.carrier, port, signal);
    if (isFinal(tunnel.answer)) throw refusal({ verb: "get", what }, tunnel.answer, who);
    const spdy = await authenticated(line, () => askSpdy(line, pathOf(what), signal));
    if (spdy.carrier === undefined) throw refusal({ verb: "create", what }, spdy.answer, who);
    return await openStream(line, spdy.carrier, port, signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error instanceof AgentError ? error : unreachable({ verb: "create", what }, error, who);
  }
}

async function openStream({ limitMs }: Line, carrier: Duplex, port: number, signal: AbortSignal): Promise<Duplex> {
  using limit = startLimit(signal, limitMs, () => new Error(`no answer of the kubelet within ${limitMs / 1_000} s`));
  return await ForwardedPort.open(carrier, port, limit.signal);
}

type Asked = { readonly carrier: Duplex } | { readonly carrier?: undefined; readonly answer: KubeAnswer & Generation };

/** Asks again with new credentials when the first ones are refused. */
async function authenticated({ authenticator }: Line, ask: () => Promise<Asked>): Promise<Asked> {
  const asked = await ask();
  if (asked.carrier !== undefined || asked.answer.status !== 401 || !authenticator.renew(asked.answer.generation))
    return asked;
  return ask();
}

/** Nothing that another protocol would change. */
function isFinal({ status, body }: KubeAnswer): boolean {
  return status === 401 || (status === 404 && body.includes("not found"));
}

async function askWebSocket(line: Line, path: string, signal: AbortSignal): Promise<Asked> {
  const key = randomBytes(16).toString("base64");
  const headers = {
    Upgrade: "websocket",
    "Sec-WebSocket-Key": key,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": TUNNEL,
  };
  const upgraded = await upgrade(line, { method: "GET", path, signal }, headers);
  const accept = createHash("sha1").update(`${key}${ACCEPT_SUFFIX}`).digest("base64");
  const wanted = { "sec-websocket-accept": accept, "sec-websocket-protocol": TUNNEL };
  return carried(upgraded, wanted, (socket, head) => new WebSocketStream(socket, head));
}

async function askSpdy(line: Line, path: string, signal: AbortSignal): Promise<Asked> {
  const headers = { Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": PROTOCOL, "Content-Length": "0" };
  const upgraded = await upgrade(line, { method: "POST", path, signal }, headers);
  return carried(upgraded, { upgrade: "SPDY/3.1" }, (socket, head) => {
    if (head.length > 0) socket.unshift(head);
    return socket;
  });
}

/** An answer without the headers that are wanted is none to the question. */
function carried(
  upgraded: Upgraded & Generation,
  wanted: Readonly<Record<string, string>>,
  carry: (socket: Duplex, head: Buffer) => Duplex,
): Asked {
  if (upgraded.socket === undefined) return { answer: upgraded };
  const { socket, head, response, generation } = upgraded;
  const odd = Object.entries(wanted).find(
    ([name, value]) => String(response.headers[name]).toLowerCase() !== value.toLowerCase(),
  );
  if (odd === undefined) return { carrier: carry(socket, head) };
  socket.on("error", () => undefined).destroy();
  return { answer: { status: 101, body: `${odd[0]}: ${response.headers[odd[0]]}, expected ${odd[1]}`, generation } };
}
