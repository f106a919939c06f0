import { Agent, request } from "node:https";
import { readBody } from "../../src/base/index.ts";

/** How an administrator reaches the API server. PEM texts. */
export interface KubeAccess {
  readonly url: string;
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** An object of Kubernetes in JSON form. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: as many shapes as there are kinds
  readonly [field: string]: any;
}

export interface KubeApi {
  get(path: string): Promise<KubeObject>;
  post(path: string, body: unknown): Promise<KubeObject>;
  delete(path: string): Promise<void>;
  /** JSON merge patch: null removes a field. */
  patch(path: string, fields: unknown): Promise<KubeObject>;
  /** Server-side apply; answers the object as it is stored. */
  apply(object: KubeObject): Promise<KubeObject>;
  /** Asks until there is one that is as wanted. Rejects after 30 s with the last failure as its cause. */
  until(path: string, isWanted: (object: KubeObject) => boolean): Promise<KubeObject>;
  close(): void;
}

/** The API server's refusal, in its own words. */
export class KubeError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

const LIMIT_MS = 30_000;
const POLL_MS = 25;

export function connectKubeApi({ url, ca, certificate, key }: KubeAccess): KubeApi {
  const agent = new Agent({ keepAlive: true, ca, cert: certificate, key });
  const send = (method: string, path: string, body?: unknown, contentType = "application/json"): Promise<KubeObject> =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { "content-type": contentType };
      const call = request(`${url}${path}`, { method, agent, headers, timeout: LIMIT_MS }, (response) => {
        readBody(response).then((bytes) => {
          const { statusCode: status = 0 } = response;
          const text = bytes.toString("utf8");
          if (status >= 400) reject(new KubeError(status, `${method} ${path}: ${status} ${messageOf(text)}`));
          else resolve(text.startsWith("{") ? JSON.parse(text) : { text });
        }, reject);
      });
      call.once("timeout", () => call.destroy(new Error(`${method} ${path}: no answer within ${LIMIT_MS / 1_000} s`)));
      call.once("error", reject).end(body === undefined ? undefined : JSON.stringify(body));
    });
  const api: KubeApi = {
    get: (path) => send("GET", path),
    post: (path, body) => send("POST", path, body),
    delete: async (path) => void (await send("DELETE", path)),
    patch: (path, fields) => send("PATCH", path, fields, "application/merge-patch+json"),
    async apply(object) {
      const path = await pathOf(object, api.get);
      return send("PATCH", `${path}?fieldManager=test&force=true`, object, "application/apply-patch+yaml");
    },
    async until(path, isWanted) {
      const endMs = performance.now() + LIMIT_MS;
      let last: unknown;
      while (performance.now() < endMs) {
        const found = await api.get(path).catch((error: unknown) => {
          last = error;
          return undefined;
        });
        if (found !== undefined && isWanted(found)) return found;
        await new Promise((done) => setTimeout(done, POLL_MS));
      }
      throw new Error(`${path} is not as wanted after ${LIMIT_MS / 1_000} s`, { cause: last });
    },
    close: () => agent.destroy(),
  };
  return api;
}

/** What the API server calls a kind: its plural, and whether it is in namespaces. By API version. */
const known = new Map<string, Promise<readonly KubeResource[]>>();

interface KubeResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

async function pathOf({ apiVersion, kind, metadata }: KubeObject, get: KubeApi["get"]): Promise<string> {
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const resources = known.get(root) ?? get(root).then((list) => list.resources as readonly KubeResource[]);
  known.set(root, resources);
  const found = (await resources).find((one) => one.kind === kind && !one.name.includes("/"));
  if (found === undefined) {
    known.delete(root); // it may come
    throw new Error(`The API server has no ${kind} in ${apiVersion}`);
  }
  const inside = found.namespaced ? `/namespaces/${metadata.namespace}` : "";
  return `${root}${inside}/${found.name}/${metadata.name}`;
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: string }).message ?? text);
  } catch {
    return text;
  }
}
