import { BlockList, isIP, type Socket } from "node:net";
import { splitHostPort } from "./net.ts";
import type { Secret } from "./secret.ts";

/** An HTTP proxy that connections out of this machine go through, and what it is not for. */
export interface EgressProxy {
  /** `host:port`. */
  readonly address: string;
  /** `user:password`; undefined for none. */
  readonly credentials: Secret | undefined;
  /** Entries of `NO_PROXY`: `*`, a domain (its subdomains count), an address or CIDR, the first three with or without port. */
  readonly except: readonly string[];
}

const CONNECT_LIMIT_MS = 10_000;
const LONGEST_ANSWER_BYTES = 16_384;
const END_OF_HEAD = "\r\n\r\n";

/**
 * Asks the proxy behind `socket` for a connection to `address` (`host:port`): HTTP's CONNECT, RFC 9110 section 9.3.6.
 * Rejects with the proxy's answer.
 */
export function connectThrough(socket: Socket, address: string, proxy: EgressProxy): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const settle = (): void => {
      clearTimeout(limit);
      socket.off("data", read).off("close", close);
    };
    const fail = (reason: string): void => {
      settle();
      socket.destroy();
      reject(new Error(`proxy "${proxy.address}" ${reason}`));
    };
    const limit = setTimeout(() => fail(`did not answer within ${CONNECT_LIMIT_MS / 1_000} s`), CONNECT_LIMIT_MS);
    const close = (): void => fail("closed the connection");
    const read = (bytes: Buffer): void => {
      answer = Buffer.concat([answer, bytes]);
      const end = answer.indexOf(END_OF_HEAD);
      if (end < 0 && answer.length < LONGEST_ANSWER_BYTES) return;
      const [status = ""] = answer.toString("latin1", 0, Math.max(end, 0)).split("\r\n");
      if (end < 0) fail("does not speak HTTP");
      else if (!/^HTTP\/1\.[01] 2\d\d\b/.test(status)) fail(`answered "${status}" to CONNECT ${address}`);
      else {
        settle();
        socket.pause(); // until the next owner reads; what came behind the answer is theirs
        if (answer.length > end + END_OF_HEAD.length) socket.unshift(answer.subarray(end + END_OF_HEAD.length));
        resolve(socket);
      }
    };
    socket.on("error", () => undefined); // "close" follows
    socket.on("data", read).on("close", close);
    socket.write(`CONNECT ${address} HTTP/1.1\r\nHost: ${address}\r\n${authorization(proxy)}\r\n`);
  });
}

function authorization({ credentials }: EgressProxy): string {
  if (credentials === undefined) return "";
  return `Proxy-Authorization: Basic ${credentials.reveal().toString("base64")}\r\n`;
}

/** Source: golang.org/x/net/http/httpproxy (useProxy). */
export function isProxied(address: string, except: readonly string[]): boolean {
  const { host, port } = hostAndPort(address.trim().toLowerCase());
  if (host === "localhost" || isIn(host, "127.0.0.0/8") || host === "::1") return false;
  return !except.some((entry) => isNamed(host, port, entry.trim().toLowerCase()));
}

function isNamed(host: string, port: string, entry: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return isIn(host, entry);
  const named = hostAndPort(entry);
  if (named.host === "" || (named.port !== "" && named.port !== port)) return false;
  if (isIP(named.host) !== 0) return isIn(host, `${named.host}/${isIP(named.host) === 4 ? 32 : 128}`);
  const name = named.host.replace(/^\*(?=\.)/, "");
  return name.startsWith(".") ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}

function isIn(host: string, cidr: string): boolean {
  const [network = "", prefix = ""] = cidr.split("/");
  const [kind, own] = [isIP(host), isIP(network)];
  if (kind === 0 || own === 0 || !/^\d+$/.test(prefix) || Number(prefix) > (own === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(prefix), own === 4 ? "ipv4" : "ipv6");
  return list.check(host, kind === 4 ? "ipv4" : "ipv6");
}

function hostAndPort(text: string): { readonly host: string; readonly port: string } {
  const split = splitHostPort(text);
  return typeof split === "string" ? { host: text.replace(/^\[(.*)\]$/, "$1"), port: "" } : split;
}
