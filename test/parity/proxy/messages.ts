/**
 * What the error is about that a program ended with, from its stderr; undefined without one. Both programs' words are
 * mapped to the same classes; what is in no class stands for itself.
 */
export function classOf(stderr: string): string | undefined {
  const [, text] = /^Error: (.*)/ms.exec(stderr) ?? [];
  if (text === undefined) return undefined;
  const parts = checksOf(text) ?? problemsOf(text) ?? [classOfMessage(text.trim())];
  return [...new Set(parts)].sort().join("; ");
}

/** pilot-agent's list of what is wrong with a ProxyConfig. */
function checksOf(text: string): string[] | undefined {
  if (!/^failed to get proxy config: \d+ errors? occurred:\n/.test(text)) return undefined;
  return [...text.matchAll(/^\t\* (.*)$/gm)].map(([, check = ""]) => classOfMessage(check));
}

/** pilotboat's list of all problems, each with its origin on the line before. Warnings follow. */
function problemsOf(text: string): string[] | undefined {
  if (!text.startsWith("The configuration has ")) return undefined;
  const [problems = ""] = text.split(/^and \d+ warning/m);
  return [...problems.matchAll(/^ {2}(\S.*)\n {4}(.*)$/gm)].map(([, origin = "", problem = ""]) =>
    CHECKS.test(problem) && !IN_MESH_FILE.test(origin)
      ? classOfMessage(problem)
      : classOfMessage(`${origin}: ${problem}`),
  );
}

/** The words of a check of values, equal in both; everything else is about how a document is written. */
const CHECKS =
  /^(invalid |unsupported |flag needs |drain time |oneof |[\w ]+ must be |port number |unable to parse |\d+ does not meet |.* must be a filename|.* are mutually exclusive)/;
const IN_MESH_FILE = /^\S*(etc\/istio\/config\/mesh|my-mesh)\b/;

/** The first that fits. */
const CLASSES: readonly (readonly [string, RegExp])[] = [
  ["proxy type", /^invalid proxy Type/],
  ["node metadata", /failed generating node metadata|for metadata \w+$/m],
  ["PROXY_CONFIG", /mesh config from environment|^PROXY_CONFIG:/],
  ["mesh file", /mesh config from file|mesh config file|^\S*(etc\/istio\/config\/mesh|my-mesh)\b/],
  ["annotation proxy.istio.io/config", /mesh config from annotation|^\S*annotations:|^annotation /],
  ["bootstrap template", /failed to generate bootstrap config: (template|open)|Cannot render the bootstrap template/],
  ["root certificate", /root CA file for \w+ does not exist|root CA file for CA required|missing a root certificate/],
  ["CA provider", /CA provider "\w*" not registered/],
  ["GKE's files", /GKE workload certificate files/],
  ["Stackdriver without a project", /missing GCP Project/],
  ["no SDS socket where one is wanted", /configured for non-default SDS socket path/],
  ["name of the SDS socket", /must be a filename, not a path/],
  ["credential fetcher", /invalid credential fetcher type/],
  ["log target", /open sink|Cannot open log target/],
  ["PROV_CERT and FILE_MOUNTED_CERTS", /mutually exclusive/],
  ["folder of the configuration", /failed to remove unix:\/\/|is no folder/],
  ["application probes", /failed to decode app prober|ISTIO_KUBE_APP_PROBERS/],
  ["scrape annotations", /ISTIO_PROMETHEUS_ANNOTATIONS/],
  ["discovery address of an annotation", /unable to parse pilot_grpc_address/],
  ["Envoy ended", /\[ENVOY_ENDED\]/],
  ["no Envoy to run", /\[ENVOY_NOT_(FOUND|EXECUTABLE)\]/],
  ["a file in the way", /\[ADDRESS_IN_USE\]/],
  ["post-quantum keys", /no TLS with X25519MLKEM768/],
  ["a port twice", /Cannot use port \d+ twice/],
];

function classOfMessage(text: string): string {
  return CLASSES.find(([, pattern]) => pattern.test(text))?.[0] ?? text;
}
