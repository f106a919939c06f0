import type { IncomingMessage } from "node:http";
import { escapeLine } from "../base/index.ts";

/**
 * The callers that a route admits. `this machine` looks at the peer's address; `this machine, no web page` looks at what a
 * browser says as well, because a browser on this machine is a local peer for every page that it shows.
 */
export type Access = "anyone" | "this machine" | "this machine, no web page";

/** Why this request may not be answered; undefined when it may. */
export function refusalOf(access: Access, { socket, headers }: IncomingMessage): string | undefined {
  if (access === "anyone") return undefined;
  if (!isLoopback(socket.remoteAddress)) return "Only requests from localhost are allowed";
  if (access === "this machine") return undefined;
  const { host, origin, "sec-fetch-site": site } = headers;
  if (!isOwnHost(host)) return `Only requests to localhost are allowed, this one is for "${escapeLine(host ?? "")}"`;
  const isOwnPage = origin === undefined || origin.toLowerCase() === `http://${host?.toLowerCase()}`;
  const isOwnSite = site === undefined || site === "same-origin" || site === "none";
  if (isOwnPage && isOwnSite) return undefined;
  return `A page of "${escapeLine(origin ?? String(site))}" may not do this`;
}

/** Whether a peer address is this machine: 127.0.0.0/8, ::1 and the IPv4-mapped forms. */
function isLoopback(address: string | undefined): boolean {
  return address === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/i.test(address ?? "");
}

/**
 * Whether the `Host` header names this machine. Any other name is one that its owner has pointed here, and a page of that
 * name would be of the same origin (DNS rebinding). Only old and simple clients send none; browsers always do.
 */
function isOwnHost(host: string | undefined): boolean {
  if (host === undefined || host === "") return true;
  const [, name = ""] = /^(\[[^\]]*\]|[^:]*)(?::\d*)?$/.exec(host.toLowerCase()) ?? [];
  return /^([^.]+\.)*localhost\.?$/.test(name) || isLoopback(name.replace(/^\[(.*)\]$/, "$1"));
}
