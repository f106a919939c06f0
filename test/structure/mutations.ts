/** A file that would break a rule, laid beside or over the real ones. */
export interface Mutation {
  /** Key of `RULES`. */
  readonly rule: string;
  readonly what: string;
  readonly file: string;
  readonly text: string;
  /** Part of the line by which it is caught. */
  readonly caught: string;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    rule: "arrowsPointDown",
    what: "a room that imports another",
    file: "src/status/planted.ts",
    text: 'import { findEnvoy } from "../envoy/binary/index.ts";\nfindEnvoy();',
    caught: "src/status/planted.ts -> src/envoy/binary/index.ts",
  },
  {
    rule: "arrowsPointDown",
    what: "a type taken from above",
    file: "src/base/planted.ts",
    text: 'import type { AgentConfig } from "../config/index.ts";\nexport type Planted = AgentConfig;',
    caught: "src/base/planted.ts -> src/config/index.ts",
  },
  {
    rule: "arrowsPointDown",
    what: "a type taken from above inside a type",
    file: "src/base/planted.ts",
    text: 'export type Planted = import("../config/index.ts").AgentConfig;',
    caught: "src/base/planted.ts -> src/config/index.ts",
  },
  {
    rule: "arrowsPointDown",
    what: "an import for its side effect",
    file: "src/xds/planted.ts",
    text: 'import "../agent/index.ts";',
    caught: "src/xds/planted.ts -> src/agent/index.ts",
  },
  {
    rule: "arrowsPointDown",
    what: "a dynamic import, over several lines",
    file: "src/agent/planted.ts",
    text: 'export const load = () =>\n  import(\n    "../cli/index.ts"\n  );',
    caught: "src/agent/planted.ts -> src/cli/index.ts",
  },
  {
    rule: "arrowsPointDown",
    what: "everything of another room exported again",
    file: "src/node/planted.ts",
    text: 'export * from "../identity/index.ts";',
    caught: "src/node/planted.ts -> src/identity/index.ts",
  },
  {
    rule: "nothingFromOutside",
    what: "a helper of the tests",
    file: "src/agent/planted.ts",
    text: 'import { startFakeIstiod } from "../../test/support/fake-istiod.ts";\nstartFakeIstiod();',
    caught: "src/agent/planted.ts -> test/support/fake-istiod.ts",
  },
  {
    rule: "roomsAreEnteredByAnIndex",
    what: "a file behind the index of a room",
    file: "src/agent/planted.ts",
    text: 'import { createSecrets } from "../identity/secrets/secrets.ts";\ncreateSecrets();',
    caught: "src/agent/planted.ts -> src/identity/secrets/secrets.ts",
  },
  {
    rule: "roomsAreEnteredByAnIndex",
    what: "a room inside a room, past its own index",
    file: "src/local/planted.ts",
    text: 'import { Child } from "../envoy/supervisor/child.ts";\nnew Child();',
    caught: "src/local/planted.ts -> src/envoy/supervisor/child.ts",
  },
  {
    rule: "noFileIsPartOfACircle",
    what: "two files that import each other",
    file: "src/base/clock.ts",
    text: 'export { retry } from "./retry.ts";\nexport const pause = 1, systemClock = 1;',
    caught: "src/base/clock.ts",
  },
  {
    rule: "noFolderIsPartOfACircle",
    what: "a folder of a room that imports the folder by which it is imported",
    file: "src/identity/tokens/planted.ts",
    text: 'import { issue } from "../ca/issue.ts";\nissue();',
    caught: "src/identity/tokens",
  },
  ...(
    [
      ["the environment by an index", 'export const home = process["env"].HOME;', "process.env"],
      ["the exit", "export const leave = () => process.exit(1);", "process.exit"],
      ["the environment taken apart", "export const { env } = process;", "process.process"],
      ["the process under another name", "const own = process;\nexport const words = own.argv;", "process.process"],
      ["the process by the global object", "export const words = globalThis.process.argv;", "process.process"],
      ["node:process", 'import { env } from "node:process";\nexport const home = env.HOME;', "node:process"],
    ] as const
  ).map(([what, text, caught]) => ({
    rule: "onlyTheDoorsTouchTheProcess",
    what,
    file: "src/config/planted.ts",
    text,
    caught,
  })),
  ...(
    [
      ["an output of the host", 'export const tell = (host) => host.stderr.write("ready\\n");', "stderr.write"],
      [
        "an output taken apart, under another name",
        "export const tell = ({ stdout: out }) => out.write(1);",
        "out.write",
      ],
      [
        "an output in a variable",
        'export const tell = (host) => {\n  const to = host["stderr"];\n  to?.end(1);\n};',
        "to.end",
      ],
      ["a stream by its type", "export const tell = (to: NodeJS.WritableStream) => to.write(1);", "to.write"],
      ["the console", "export const tell = () => console.error(1);", "console.error"],
    ] as const
  ).map(([what, text, caught]) => ({ rule: "onlyCommandsPrint", what, file: "src/local/planted.ts", text, caught })),
  {
    rule: "baseKnowsNoProduct",
    what: "a word of a room in a comment",
    file: "src/base/planted.ts",
    text: "/** As istiod has it. */\nexport const planted = 1;",
    caught: "src/base/planted.ts: /** As istiod has it. */",
  },
  {
    rule: "onlyStartersImportChildProcess",
    what: "a room that starts a program itself",
    file: "src/oci/planted.ts",
    text: 'import { execFile } from "node:child_process";\nexecFile("true");',
    caught: "src/oci/planted.ts -> node:child_process",
  },
  {
    rule: "onlyStartersImportChildProcess",
    what: "the same by the name without a scheme, loaded late",
    file: "src/envoy/planted.ts",
    text: 'export const load = () => import("child_process");',
    caught: "src/envoy/planted.ts -> child_process",
  },
  {
    rule: "pathsOfIstioStandOnce",
    what: "a path of the pod, written out",
    file: "src/node/planted.ts",
    text: 'export const token = "./var/run/secrets/tokens/istio-token";',
    caught: "src/node/planted.ts: ./var/run/secrets/tokens/istio-token",
  },
  {
    rule: "pathsOfIstioStandOnce",
    what: "a path of the pod in a template",
    file: "src/cli/planted.ts",
    text: "export const at = (name: string) => `/etc/istio/proxy/${name}`;",
    caught: "src/cli/planted.ts: /etc/istio/proxy/",
  },
  {
    rule: "everyExportIsUsed",
    what: "an export that nothing uses",
    file: "src/main.ts",
    text: "export const forgotten = 1;",
    caught: "src/main.ts: forgotten",
  },
  {
    rule: "everyExportIsUsed",
    what: "one that only an index shows, which nobody asks for it",
    file: "src/application/index.ts",
    text: 'export { startApplication } from "./start-application.ts";\nexport { forgotten } from "./find-executable.ts";',
    caught: "src/application/index.ts: forgotten",
  },
  {
    rule: "everyExportIsUsed",
    what: "a file that nothing imports",
    file: "src/node/planted.ts",
    text: "console.log(1);",
    caught: "src/node/planted.ts",
  },
];
