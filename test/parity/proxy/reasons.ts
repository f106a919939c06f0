import type { Difference, Json } from "../observation.ts";
import type { Reason } from "../reasons.ts";

/** Why `proxy` differs from pilot-agent's. A difference without a row here fails `npm run parity`. */
export const REASONS: readonly Reason[] = [
  // in every run
  {
    name: "Istio's version",
    at: [
      "node/metadata/ISTIO_VERSION",
      "left/contents/*/node/metadata/ISTIO_VERSION",
      "left early/contents/*/node/metadata/ISTIO_VERSION",
    ],
    when: ({ reference }) => reference === "unknown",
    why: "pilot-agent names what its build was stamped with, here nothing; pilotboat names the Istio that it behaves like",
    isUniversal: true,
  },
  {
    name: "mark of the run",
    at: ["environment/variables/PILOTBOAT_RUN"],
    why: "by this variable an agent recognizes an Envoy that its predecessor left behind",
    isUniversal: true,
  },
  {
    name: "Envoy's output",
    at: ["environment/process/descriptors/*"],
    when: ({ path, pilotboat }) => /\/[12]$/.test(path) && /pipe|\.envoy-/.test(String(pilotboat)),
    why: "pilot-agent hands on its own stdout and stderr; pilotboat passes Envoy's lines on, and keeps the last ones for a crash (decision 0006)",
    isUniversal: true,
  },
  {
    name: "agent.json",
    at: ["files/*"],
    when: ({ path }) => /~1agent\.json(\.\w+\.tmp)?$/.test(path),
    why: "by this file `status` and `reload` find the agent; it is removed at the end",
    isUniversal: true,
  },
  {
    name: "modes of folders",
    at: ["files/*", "left/paths/*", "left early/paths/*"],
    when: isPair("d 750", "d 700"),
    why: "pilot-agent means 0700, too, but its socket makes the folders first, with 0750",
    isUniversal: true,
  },
  {
    name: "mode of the bootstrap",
    at: ["files/*"],
    when: ({ path, ...pair }) => /~1envoy-rev\.(json|yaml)$/.test(path) && isPair("f 644", "f 600")({ path, ...pair }),
    why: "a bootstrap can hold secrets, and only Envoy reads it",
    isUniversal: true,
  },
  {
    name: "folders that the agent made",
    at: ["left/paths/*"],
    when: ({ reference, pilotboat }) => reference === "d 750" && pilotboat === undefined,
    why: "pilot-agent leaves them; pilotboat removes those that it made, once they are empty",
    isUniversal: true,
  },
  {
    name: "address of the XDS socket for gRPC",
    at: ["left/contents/*/xds_servers/0/server_uri", "left early/contents/*/xds_servers/0/server_uri"],
    when: ({ reference, pilotboat }) => String(pilotboat).endsWith(String(reference).slice("unix://".length)),
    why: "pilot-agent writes it as if it ran in `/`, as it does in a container; pilotboat writes where the socket is, which is the same there",
    isUniversal: true,
  },

  // errors
  {
    name: "exit code of an error",
    at: ["exit"],
    when: ({ reference, pilotboat }) => {
      const [, envoy, error] = /^(no Envoy|Envoy started), 255, (.*)$/s.exec(String(reference)) ?? [];
      return envoy !== undefined && [1, 2].some((code) => pilotboat === `${envoy}, ${code}, ${error}`);
    },
    why: "the same error; pilot-agent ends with 255, pilotboat with 2 when the input has to change, else with 1 (exit-codes.md)",
  },
  {
    name: "all problems at once",
    at: ["exit"],
    when: ({ reference, pilotboat }) => {
      const [, first = ""] = /^no Envoy, 255, (.*)$/s.exec(String(reference)) ?? [];
      const [, all = ""] = /^no Envoy, 2, (.*)$/s.exec(String(pilotboat)) ?? [];
      return first !== "" && all.split("; ").includes(first);
    },
    why: "pilot-agent names the first problem, pilotboat all of them",
  },
  {
    name: "what an error leaves",
    at: ["left early/paths/*", "left early/contents/*"],
    when: isOnlyOfReference,
    why: "pilot-agent leaves what it had written, half a bootstrap among it; pilotboat checks first and removes what it made",
  },
  {
    name: "a port that no listener can have",
    at: ["exit"],
    when: turns("Envoy started, 0", /^no Envoy, 2, (a port twice|port number .* must be in the range)/),
    why: "pilot-agent starts an Envoy that cannot listen; pilotboat refuses it and names the port",
  },
  {
    name: "key settings that no CA accepts",
    at: ["exit"],
    when: turns("Envoy started, 0", /^no Envoy, 2, (\d+ does not meet the minimum|unsupported EC signature algorithm)/),
    why: "pilot-agent fails later, whenever it asks for a certificate; pilotboat refuses them and names the variable",
  },
  {
    name: "post-quantum keys on an older Node",
    at: ["exit"],
    when: turns("Envoy started, 0", /^no Envoy, 2, post-quantum keys$/),
    why: "Node before 24 has no TLS with X25519MLKEM768, which COMPLIANCE_POLICY=pqc asks for: pilotboat says so; the executable has it",
    isOfRuntime: true,
  },
  {
    name: "there is no Envoy",
    at: ["exit"],
    when: turns("no Envoy, 0", /^no Envoy, 1, no Envoy to run$/),
    why: "pilot-agent ends with 0; pilotboat names the path and ends with 1",
  },
  {
    name: "Envoy's own failure",
    at: ["exit"],
    when: ({ reference, pilotboat }) =>
      reference === "Envoy started, 0" && /^Envoy started, [1-9]\d*, Envoy ended$/.test(String(pilotboat)),
    why: "pilot-agent ends with 0 whatever became of Envoy; pilotboat ends with Envoy's code",
  },
  {
    name: "evidence of a crash",
    at: ["left/paths/*", "left/contents/**"],
    when: ({ path, reference }) => path.includes("~1crashes") && reference === undefined,
    why: "pilotboat keeps what is known of an Envoy that failed",
  },
  {
    name: "a file where a socket goes",
    at: ["exit"],
    when: turns("Envoy started, 0", /^no Envoy, 1, a file in the way$/),
    why: "pilot-agent deletes it; pilotboat deletes only sockets that nobody listens on",
  },
  {
    name: "pilot-agent crashes",
    at: ["exit"],
    when: turns("no Envoy, 2", /^Envoy started, 0$/),
    why: "a setting makes it divide by zero or follow a nil pointer; pilotboat starts Envoy with what the setting says, or without it",
  },
  {
    name: "provisioned certificates that are missing",
    at: ["exit"],
    when: turns("no Envoy, 1", /^no Envoy, 1, root certificate$/),
    why: "pilot-agent says it in its log alone; pilotboat also as its last words",
  },

  {
    name: "no root among file mounted certificates",
    at: ["exit"],
    when: turns("no Envoy, 255, root certificate", /^Envoy started, 0$/),
    why: "pilot-agent finds no root for istiod and ends; pilotboat takes the one of the control plane",
  },
  {
    name: "a root file without a certificate",
    at: ["exit"],
    when: turns(/failed to connect to endpoint istiod/, /^Envoy started, 0$/),
    why: "pilot-agent ends, and names no file; pilotboat names it, is not ready, and tries again: the file may be in the making",
  },
  {
    name: "application metrics",
    at: ["exit"],
    when: turns("no Envoy, 255, scrape annotations", /^Envoy started, 0$/),
    why: "pilot-agent ends for an empty variable; for pilotboat it is unset",
  },

  // the bootstrap
  {
    name: "text that is not escaped",
    at: ["bootstrap", "node/cluster"],
    when: ({ area, reference, pilotboat }) =>
      area === "bootstrap" ? Array.isArray(reference) && !Array.isArray(pilotboat) : reference !== pilotboat,
    why: "pilot-agent pastes names, prefixes and suffixes into its template as they are, and a quote or backslash breaks it; pilotboat escapes them",
  },
  {
    name: "a comma too many",
    at: ["bootstrap/"],
    when: ({ reference }) => reference === "commas too many",
    why: "pilot-agent's template leaves one behind the listener filter of PROXY protocol; pilotboat writes strict JSON",
  },
  {
    name: "keepalive numbers",
    at: ["bootstrap/static_resources/clusters/*/upstream_connection_options/tcp_keepalive/*", "bootstrap/*"],
    when: ({ path, reference, pilotboat }) =>
      path.startsWith("/static_resources/")
        ? (reference as { readonly value?: Json } | undefined)?.value === pilotboat
        : String(reference).replaceAll(/\{"value":(\d+)\}/g, "$1") === pilotboat,
    why: "pilot-agent wraps them as `{value}`, which Envoy's JSON does not have; pilotboat writes the numbers",
  },
  {
    name: "a histogram bucket printed as a whole",
    at: ["bootstrap/*"],
    when: ({ pilotboat }) => String(pilotboat).startsWith("histogram_buckets: [map["),
    why: "in a template of one's own Go prints a struct, pilotboat a map; its members and `toJson` are equal",
  },
  {
    name: "flush interval",
    at: ["bootstrap/stats_flush_interval"],
    when: ({ reference }) => !/^[\d.]+s$/.test(String(reference)),
    why: "pilot-agent writes Go's form (`1m30s`), which Envoy refuses; pilotboat writes seconds",
  },
  {
    name: "connection limit of connectionSettings",
    at: ["bootstrap/overload_manager/resource_monitors/0/typed_config/max_active_downstream_connections"],
    when: ({ reference }) => reference === 2_147_483_647,
    why: "this Istio knows the field and ignores it; pilotboat follows newer ones, which apply it",
  },
  {
    name: "no template in the image",
    at: ["exit"],
    when: turns("no Envoy, 255, bootstrap template", /^Envoy started, 0$/),
    why: "pilotboat brings its own documents; it needs a template only where one is named",
  },
  {
    name: "a status port annotation that is no number",
    at: [
      "node/metadata/PROXY_CONFIG/statusPort",
      "left/contents/*/node/metadata/PROXY_CONFIG/statusPort",
      "bootstrap/static_resources/clusters/1/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value",
    ],
    when: ({ reference, pilotboat }) => (reference === undefined || reference === 0) && pilotboat === 15_020,
    why: "pilot-agent has no status port then, and never becomes ready; pilotboat warns and keeps the configured one",
  },

  // configuration
  {
    name: "JSON's pairs of escapes",
    at: ["exit"],
    when: turns("no Envoy, 255, PROXY_CONFIG", /^Envoy started, 0$/),
    why: "Go's YAML refuses them (`\\ud83d\\udea2`), though YAML promises to take JSON; pilotboat reads the character that they are",
  },
  {
    name: "discovery address of an annotation",
    at: ["exit"],
    when: ({ reference, pilotboat }) =>
      /^no Envoy, 255, (discovery address of an annotation|.*failed to connect to endpoint)/.test(String(reference)) &&
      /^no Envoy, 2, (invalid discovery address|discovery address must be set)/.test(String(pilotboat)),
    why: "pilot-agent does not check it, and fails with it later; pilotboat checks it like any other",
  },
  {
    name: "a configPath with detours",
    at: ["files/*", "left/paths/*"],
    when: ({ path, reference, pilotboat }) => path.endsWith("/a") && reference === "d 700" && pilotboat === undefined,
    why: "pilot-agent makes a folder for each step of `./a/../b`; pilotboat only the one that is meant",
  },

  // files
  {
    name: "modes of sockets outside a pod",
    at: ["files/*"],
    when: isPair("s 666", "s 600"),
    why: "in a pod other containers may need them; elsewhere pilotboat keeps them to its user (security.md)",
  },
  {
    name: "mode of the Lightstep token",
    at: ["files/*", "left/paths/*"],
    when: ({ path, ...pair }) => path.includes("lightstep") && isPair("f 644", "f 600")({ path, ...pair }),
    why: "it is a secret",
  },
  {
    name: "what Envoy's own user can see",
    at: ["files/*"],
    when: ({ path, reference }) =>
      reference === undefined &&
      /^\/(etc~1istio(~1proxy.*)?|var~1run~1secrets~1workload-spiffe-uds~1socket)$/.test(path),
    why: "with DNS on port 53 Envoy runs as 1337; pilot-agent makes folders for root alone, and that Envoy cannot read its bootstrap",
  },
  {
    name: "paths in the gRPC bootstrap",
    at: ["left/contents/*/certificate_providers/default/config/*"],
    when: ({ reference, pilotboat }) => pilotboat === `{root}/${String(reference)}`,
    why: "pilotboat writes absolute paths: the reader may run in another folder",
  },
  {
    name: "lines of the log",
    at: ["left/contents/agent.log"],
    why: "pilotboat has a log of its own (decision 0003)",
  },
];

function isPair(reference: Json, pilotboat: Json): (difference: Difference) => boolean {
  return (difference) => difference.reference === reference && difference.pilotboat === pilotboat;
}

function isOnlyOfReference({ reference, pilotboat }: Difference): boolean {
  return reference !== undefined && pilotboat === undefined;
}

function turns(reference: string | RegExp, pilotboat: RegExp): (difference: Difference) => boolean {
  return (difference) =>
    (typeof reference === "string"
      ? difference.reference === reference
      : reference.test(String(difference.reference))) && pilotboat.test(String(difference.pilotboat));
}
