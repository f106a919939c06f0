/** What the server takes from resolv.conf: where to pass questions on, and the search list. */
export interface Upstreams {
  /** In the file's order, all of them, as they are written there. */
  readonly servers: readonly string[];
  readonly search: readonly string[];
}

/**
 * Another reading of the file than that of a resolver (`parseResolvConf` in `base`): no server is left out, none is made
 * up, and the last of `domain` and `search` counts. Source: the library that istio/istio pkg/dns/client reads it with,
 * miekg/dns clientconfig.go.
 */
export function readUpstreams(text: string): Upstreams {
  const servers: string[] = [];
  let search: string[] = [];
  for (const line of text.split("\n")) {
    const [word = "", ...values] = /^[;#]/.test(line) ? [] : line.trim().split(/\s+/);
    if (word === "nameserver") servers.push(...values.slice(0, 1));
    else if (word === "domain") search = values.slice(0, 1);
    else if (word === "search") search = values;
  }
  return { servers, search };
}
