import type { Input } from "../subject.ts";

/** What is given to `proxy`; what is left out is that of an ordinary sidecar. */
export interface ProxyInput extends Input {
  /** The words after `proxy`. */
  readonly args?: readonly string[];
  /** Laid over `BASE_ENV`; undefined removes a variable. `{root}` stands for the folder that it runs in. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** By path below the folder that it runs in, laid over `baseFiles`; undefined removes one. */
  readonly files?: Readonly<Record<string, GivenFile | undefined>>;
  /** Addresses of its only interface. Default: `10.3.3.3/24`. */
  readonly addresses?: readonly string[];
  /** Lines of /etc/hosts. */
  readonly hosts?: readonly string[];
  /** How Envoy ends: with a code at once; by a SIGTERM, which the agent is sent; or with 0 after some seconds. Default: 0. */
  readonly envoyEnds?: number | "when told" | { readonly afterSeconds: number };
  /** Beside `when told`: the file that is there when the agent can be told. Default: Envoy's first word. */
  readonly isUpWith?: string;
}

/**
 * The text of a file, in which `{pem:root}`, `{pem:chain}` and `{pem:key}` stand for a root and a certificate that it
 * signed; `a gRPC server` at a socket; or a link.
 */
export type GivenFile = string | { readonly link: string };

/** `CLOUD_PLATFORM`: without it both look for a cloud, which takes seconds. */
export const BASE_ENV: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  POD_NAME: "web-0",
  POD_NAMESPACE: "shop",
  SERVICE_ACCOUNT: "web",
  INSTANCE_IP: "10.3.3.3",
  CLOUD_PLATFORM: "none",
  KUBERNETES_SERVICE_HOST: "10.96.0.1",
};
