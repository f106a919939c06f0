import type { IncomingMessage } from "node:http";
import { type Access, refusalOf } from "./access.ts";
import type { Reply } from "./reply.ts";

/** A request that may have its answer. */
export interface Call {
  readonly request: IncomingMessage;
  /** Without the query, and without empty and dot segments. */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
  /** Aborts when the agent begins to end; most is answered on. */
  readonly stop: AbortSignal;
}

/** A reply, and what happens once it has left. */
export type Outcome = Reply & { readonly afterwards?: () => void };

/** One page of the status port, from the part of the agent that knows what is on it. */
export interface Route {
  /** One that ends with a slash stands for everything below it, except `/` itself; the longest that fits answers. */
  readonly path: string;
  readonly access: Access;
  /** Default: any method. */
  readonly method?: "POST";
  /** What it rejects with becomes a 500. */
  answer(call: Call): Promise<Outcome> | Outcome;
}

/** Finds and runs the route of a request: cleaned path first, then who asks, then how. */
export type Router = (request: IncomingMessage, stop: AbortSignal) => Promise<Outcome>;

/** Throws for two routes of one path: each has one owner. */
export function createRouter(routes: readonly Route[]): Router {
  const byPath = new Map(routes.map((route) => [route.path, route]));
  const twice = routes.find((route) => byPath.get(route.path) !== route);
  if (twice !== undefined) throw new Error(`two routes for ${twice.path}`);
  const prefixes = routes
    .filter(({ path }) => path.endsWith("/") && path !== "/")
    .sort((a, b) => b.path.length - a.path.length);
  return async (request, stop) => {
    const { path, query } = splitTarget(request.url ?? "/");
    const clean = cleanPath(path);
    if (clean !== path) return { status: 301, body: "", headers: { Location: clean + query } };
    const found = byPath.get(path) ?? prefixes.find((one) => path.startsWith(one.path));
    if (found === undefined) return { status: 404, body: "404 page not found\n" };
    const refused = refusalOf(found.access, request);
    if (refused !== undefined) return { ...plainError(refused), status: 403 };
    if (found.method !== undefined && request.method !== found.method) {
      return { ...plainError("Method Not Allowed"), status: 405 };
    }
    return found.answer({ request, path, query, stop });
  };
}

/** As Go's `http.Error` writes it. */
export const plainError = (text: string) => ({ body: `${text}\n`, headers: { "X-Content-Type-Options": "nosniff" } });

function splitTarget(target: string): { path: string; query: string } {
  const relative = target.startsWith("/") ? target : target.replace(/^[a-z]+:\/\/[^/?]*/i, "");
  const at = relative.indexOf("?");
  return at < 0 ? { path: relative || "/", query: "" } : { path: relative.slice(0, at), query: relative.slice(at) };
}

/** Without empty and dot segments; a final slash stays. */
function cleanPath(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/");
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const endsWithSlash = kept.length > 0 && ["", ".", ".."].includes(segments.at(-1) ?? "");
  return `/${kept.join("/")}${endsWithSlash ? "/" : ""}`;
}
