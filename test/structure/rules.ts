import { dirname } from "node:path";
import { unusedExports } from "./exports.ts";
import { type Arrow, arrowsOf, outputWrites, processUses, type Sources, stringsOf } from "./source-graph.ts";

/** A rule of docs/architecture.md: what breaks it, one line each. */
export type Rule = (sources: Sources) => string[];

const FLOORS: Readonly<Record<string, number>> = {
  "src/launch.ts": 6,
  "src/main.ts": 5,
  "src/index.ts": 4,
  "src/library-host.ts": 3,
  "src/library-types.ts": 3,
  "src/version.ts": 0,
  base: 0,
  host: 0.5,
  grpc: 0.5,
  istio: 0.5,
  proto: 0.5,
  exchange: 0.75,
  "grpc-stream": 0.7,
  "go-template": 0.7,
  agent: 2,
  local: 2.5,
  cli: 3,
};
const ROOM_FLOOR = 1;

/** Arrows point down, and rooms do not know each other. */
export const arrowsPointDown: Rule = (sources) =>
  ownArrows(sources)
    .filter(
      ({ from, to }) => roomOf(from) !== roomOf(to) && floorOf(from) <= floorOf(to) && !isTheSidewaysArrow(from, to),
    )
    .map(show);

/** `bootstrap` renders what `node` describes, and says so by its type. */
function isTheSidewaysArrow(from: string, to: string): boolean {
  return roomOf(from) === "bootstrap" && roomOf(to) === "node";
}

/** Sources import sources, examples and data; nothing of the tests and scripts. */
export const nothingFromOutside: Rule = (sources) =>
  arrowsOf(sources)
    .filter(({ to }) => /^(test|scripts|bench|dist)\//.test(to) || to.startsWith(".."))
    .map(show);

/** A room is entered by its index, or by that of a folder in it. */
export const roomsAreEnteredByAnIndex: Rule = (sources) =>
  ownArrows(sources)
    .filter(({ from, to }) => roomOf(from) !== roomOf(to) && roomOf(to) !== to && !OPEN_ROOMS.includes(roomOf(to)))
    .filter((arrow) => !arrow.to.endsWith("/index.ts") && !DOORS_FOR_SPEED.includes(show(arrow)))
    .map(show);

/** Messages and their codecs: each file is loaded alone, so that a start loads no more than it needs. */
const OPEN_ROOMS = ["proto"];

/** The index of the room would load what a mistyped command and the library's door have no use for. */
const DOORS_FOR_SPEED = [
  "src/cli/contract/command-line.ts -> src/config/find-command.ts",
  "src/cli/contract/command-line.ts -> src/config/flags.ts",
  "src/cli/contract/command-line.ts -> src/config/pflag.ts",
  "src/index.ts -> src/base/errors.ts",
  "src/library-options.ts -> src/base/errors.ts",
  "src/library-options.ts -> src/istio/kubernetes-names.ts",
];

export const noFileIsPartOfACircle: Rule = (sources) => circles(ownArrows(sources));

/** The index is the face of its folder and not a part of it: it may show what folders below it have. */
export const noFolderIsPartOfACircle: Rule = (sources) =>
  circles(
    ownArrows(sources)
      .map((arrow) => ({ ...arrow, from: folderOf(arrow.from), to: folderOf(arrow.to) }))
      .filter(({ from, to }) => from !== to),
  );

/** The folder of a file; `src/main.ts` and the other files beside the rooms are places of their own. */
export function placeOf(file: string): string {
  return dirname(file) === "src" ? file : dirname(file);
}

function folderOf(file: string): string {
  return file.endsWith("/index.ts") || dirname(file) === "src" ? file : dirname(file);
}

const DOORS = ["src/library-host.ts", "src/main.ts"];

/** What may be asked of the process anywhere: who and where it is, not what it was given. */
const HARMLESS = [
  "pid",
  "ppid",
  "platform",
  "arch",
  "version",
  "getuid",
  "geteuid",
  "getgid",
  "getegid",
  "kill",
  "memoryUsage",
  "execPath",
];

/** Arguments, environment, streams, signals and exit reach only the two doors. */
export const onlyTheDoorsTouchTheProcess: Rule = (sources) =>
  [...sources]
    .filter(([file]) => !DOORS.includes(file))
    .flatMap(([file, text]) => {
      const uses = processUses(file, text).filter((name) => !HARMLESS.includes(name));
      const imported = arrowsOf(new Map([[file, text]])).filter(({ to }) => to === "node:process" || to === "process");
      return [...uses.map((name) => `${file}: process.${name}`), ...imported.map(show)];
    });

/** Only commands print. Below them a floor returns facts or calls a callback, so that a library's user sees nothing unasked. */
export const onlyCommandsPrint: Rule = (sources) =>
  [...sources]
    .filter(([file]) => roomOf(file) !== "cli" && !DOORS.includes(file) && !Object.hasOwn(PASSES_ON, file))
    .flatMap(([file, text]) => outputWrites(file, text).map((name) => `${file}: ${name}`));

/** What is written there is no text of ours for people, or is the log, which has its own targets and formats. */
const PASSES_ON: Readonly<Record<string, string>> = {
  "src/agent/log-sink.ts": "the log",
  "src/envoy/output/pass-on.ts": "Envoy's lines",
  "src/host/steady-output.ts": "the outputs themselves",
  "src/kubernetes/exec-plugin.ts": "the lines of a kubeconfig's credential plugin, as kubectl shows them",
};

/** `base` would serve any program: no word of Envoy or Istio, except where a comment names a source, and in the error codes. */
export const baseKnowsNoProduct: Rule = (sources) =>
  [...sources]
    .filter(([file]) => roomOf(file) === "base" && file !== "src/base/errors.ts")
    .flatMap(([file, text]) => text.split("\n").map((line) => `${file}: ${line.trim()}`))
    .filter((line) => /envoy|istio|pilot|xds/i.test(line) && !line.includes("Source: "));

/** Who starts processes: the one runner of programs, Envoy's supervisor, and the application of `run`. */
const STARTERS = ["src/host/run-program.ts", "src/envoy/supervisor/child.ts", "src/application/start-application.ts"];

export const onlyStartersImportChildProcess: Rule = (sources) =>
  arrowsOf(sources)
    .filter(({ from, to, isTypeOnly }) => /^(node:)?child_process$/.test(to) && !isTypeOnly && !STARTERS.includes(from))
    .map(show);

/** The paths that Istio's injector and packages agree on are values of `src/istio/paths.ts`. */
export const pathsOfIstioStandOnce: Rule = (sources) =>
  [...sources].flatMap(([file, text]) =>
    stringsOf(file, text)
      .filter((value) => /^(\.?\/)?(var\/run\/secrets|etc\/(istio|certs))\//.test(value))
      .filter((value) => file !== "src/istio/paths.ts" && !NOT_RELATIVE_TO_A_RUN.includes(`${file}: ${value}`))
      .map((value) => `${file}: ${value}`),
  );

/** The reference's default has no `./`, and people compare it as text; the other is Kubernetes', and one of a pod's own. */
const NOT_RELATIVE_TO_A_RUN = [
  "src/config/catalogue.ts: etc/istio/proxy/grpc-bootstrap.json",
  "src/kubernetes/in-cluster.ts: /var/run/secrets/kubernetes.io/serviceaccount",
];

/** Every export is used outside its file, and every file by another; tests do not count. The published library is a door. */
export const everyExportIsUsed: Rule = (sources) => {
  const imported = new Set(ownArrows(sources).map(({ to }) => to));
  return [
    ...unusedExports(sources).filter((one) => !one.startsWith("src/index.ts: ") && !FOR_TESTS.includes(one)),
    ...[...sources.keys()].filter(
      (file) => !imported.has(file) && !/^src\/(launch|main|index)\.ts$|\.d\.ts$/.test(file),
    ),
  ];
};

/** Parts of a file that tests ask directly, because through the whole they would need a terminal, a crash, a cloud, or minutes. */
const FOR_TESTS = [
  "src/agent/run-agent.ts: freePortDefaults",
  "src/application/terminal.ts: parseTerminal",
  "src/base/errors.ts: ERROR_CATALOGUE", // docs/errors.md is generated from it
  "src/base/watch.ts: contentDigest",
  "src/cli/progress-line.ts: describeProgress",
  "src/cli/terminal/terminal.ts: wantsColour",
  "src/config/bootstrap-override.ts: replaceHostIp",
  "src/config/flags.ts: PROXY_FLAGS", // docs/config.md is generated from it
  "src/control-plane/ads/resource-types.ts: LISTENER_TYPE",
  "src/control-plane/ads/resource-types.ts: ROUTE_TYPE",
  "src/envoy/arguments.ts: splitLogLevel",
  "src/envoy/binary/find-envoy.ts: parseVersion",
  "src/envoy/evidence/crash-evidence.ts: describeCrash",
  "src/envoy/supervisor/drain.ts: describePlan",
  "src/envoy/supervisor/restart-policy.ts: RESTART_BACKOFF", // the bench takes the wait from its figure
  "src/envoy/supervisor/restart-policy.ts: RESTART_BUDGET",
  "src/host/process-identity.ts: startTicks",
  "src/istio/downward-api.ts: unquote",
  "src/istio/mesh/index.ts: proxyConfigFromJson",
  "src/local/namespace/enter-namespace.ts: withNameServer",
  "src/local/namespace/enter-namespace.ts: withoutOtherResolvers",
  "src/node/ip.ts: canonicalIp",
  "src/node/ip.ts: isIpv6",
  "src/node/platform/gcp.ts: localityOfZone",
  "src/status/reply.ts: chooseEncoding",
];

export const RULES: Readonly<Record<string, Rule>> = {
  arrowsPointDown,
  nothingFromOutside,
  roomsAreEnteredByAnIndex,
  noFileIsPartOfACircle,
  noFolderIsPartOfACircle,
  onlyTheDoorsTouchTheProcess,
  onlyCommandsPrint,
  baseKnowsNoProduct,
  onlyStartersImportChildProcess,
  pathsOfIstioStandOnce,
  everyExportIsUsed,
};

/** `src/main.ts` and the other files beside the rooms are rooms of their own. */
export function roomOf(file: string): string {
  return file.split("/").length === 2 ? file : (file.split("/")[1] ?? "");
}

export function floorOf(file: string): number {
  return FLOORS[roomOf(file)] ?? ROOM_FLOOR;
}

export function ownArrows(sources: Sources): Arrow[] {
  return arrowsOf(sources).filter(({ to }) => to.startsWith("src/") && to.endsWith(".ts"));
}

function show({ from, to }: Pick<Arrow, "from" | "to">): string {
  return `${from} -> ${to}`;
}

function circles(arrows: readonly Pick<Arrow, "from" | "to">[]): string[] {
  const targets = new Map<string, Set<string>>();
  for (const { from, to } of arrows) targets.set(from, (targets.get(from) ?? new Set()).add(to));
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (place: string, path: readonly string[]): void => {
    if (path.includes(place)) found.push([...path.slice(path.indexOf(place)), place].join(" -> "));
    if (done.has(place) || path.includes(place)) return;
    for (const next of targets.get(place) ?? []) walk(next, [...path, place]);
    done.add(place);
  };
  for (const place of targets.keys()) walk(place, []);
  return found;
}
