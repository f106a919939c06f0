import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, runtimes } from "../support/pilotboat.ts";
import { missing, runInTerminal, startShell } from "../support/terminal.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-completion-"));
  await mkdir(join(folder, "my-mesh"));
  await writeFile(join(folder, "mesh.yaml"), "");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What bash offers for the last word, as readline splits the line: "=" is a word of its own. */
function offered(script: string, words: readonly string[]): string[] {
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const ask = `${script}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}
$(complete -p pilotboat | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", ask], { cwd: folder, encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.split("\n").filter((line) => line !== "");
}

const noBash = missing("bash");
const noTerminal = missing("bash", "script");
const noZsh = missing("zsh");
const noFish = missing("fish");

describe.each(runtimes())("completion by $name", (runtime) => {
  let script: string;
  beforeAll(async () => {
    const { code, stdout } = await run(runtime, ["completion", "bash"]);
    expect(code).toBe(0);
    script = stdout;
  });

  test.skipIf(noBash)("bash completes commands, flags and values", () => {
    const cases: readonly (readonly [words: readonly string[], ...expected: string[]])[] = [
      [["sta"], "status"],
      [["con"], "connect", "control-plane", "config"],
      [["help", "boo"], "bootstrap"],
      [["help", "envoy", "f"], "fetch"],
      [["config", "e"], "explain"],
      [["config", "--concurrency", "2", "n"], "node"],
      [["config", "rou"], "router"],
      [["config", "explain", "drainD"], "drainDuration"],
      [["config", "explain", "PILOTBOAT_DRAIN_D"], "PILOTBOAT_DRAIN_DELAY"],
      [["status", "--r"], "--run-folder"],
      [["status", "-o", ""], "json", "yaml"],
      [["version", "--output", "=", "y"], "yaml"],
      [["version", "--output=y"], "--output=yaml"],
      [["version", "--output", "=", ""], "yaml", "json"],
      [["proxy", "--restart", "on"], "on-failure"],
      [["proxy", "way"], "waypoint"],
      [["run", "--local", "--resources", "m"], "my-mesh"],
      [["run", "--", "some-program", "me"], "mesh.yaml"],
      [["bootstrap", "validate", "me"], "mesh.yaml"],
      [["envoy", "fetch", "--platform", "darwin"], "darwin-arm64"],
      [["completion", ""], "bash", "zsh", "fish", "powershell"],
      [["status", "--config-path", "x", "m"], "my-mesh"],
      [["up", "--port", ""]],
      [["nosuch", "--o"]],
    ];
    for (const [words, ...expected] of cases) {
      expect({ words, offered: offered(script, ["pilotboat", ...words]) }).toEqual({ words, offered: expected });
    }
    expect(offered(script, ["pilotboat", "run", "--", "bas"])).toContain("bash");
  });

  test.skipIf(noTerminal)("the tab key completes in an interactive bash", async () => {
    await using shell = startShell("bash --norc -i", { PS1: "> " });
    await writeFile(join(folder, "script.bash"), script);
    shell.type(`cd ${folder} && source script.bash && echo it is "loaded"\n`);
    await shell.waitFor(/it is loaded\r?\n/);
    shell.type("pilotboat stat\t");
    await shell.waitFor(/pilotboat status /);
    shell.type("--run\t");
    await shell.waitFor(/--run-folder /);
    shell.type("my\t");
    await shell.waitFor(/my-mesh\//);
    shell.type("\u0015pilotboat version --output=j\t");
    await shell.waitFor(/--output=json /);
    shell.type("\u0015pilotboat config explain stat\t\t");
    await shell.waitFor(/statusPort/);
  });

  test.skipIf(noZsh)("zsh takes the script and completes with it", async () => {
    const { stdout } = await run(runtime, ["completion", "zsh"]);
    const file = join(folder, "_pilotboat");
    await writeFile(file, stdout);
    expect(spawnSync("zsh", ["-n", file], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
    if (noTerminal !== undefined) return;
    await using shell = startShell("zsh -f -i", { PS1: "> " });
    shell.type(`cd ${folder}; autoload -U compinit; compinit -u -D; source ./_pilotboat; echo it is "loaded"\n`);
    await shell.waitFor(/it is loaded\r?\n/);
    shell.type("pilotboat stat\t");
    await shell.waitFor(/us/);
    shell.type("--run\t");
    await shell.waitFor(/-folder/);
    shell.type("\u0015pilotboat config explain drainD\t");
    await shell.waitFor(/uration/);
    shell.type("\u0015pilotboat envoy fetch --source g\t");
    await shell.waitFor(/ithub/);
    shell.type("\u0015pilotboat help boot\t");
    await shell.waitFor(/strap/);
  });

  test.skipIf(noFish)("fish takes the script and completes with it", async () => {
    const { stdout } = await run(runtime, ["completion", "fish"]);
    const file = join(folder, "pilotboat.fish");
    await writeFile(file, stdout);
    const fish = (...args: readonly string[]) => {
      const env = { ...process.env, HOME: folder };
      const { stdout: out, stderr } = spawnSync("fish", ["--no-config", ...args], {
        cwd: folder,
        env,
        encoding: "utf8",
      });
      expect(stderr).toBe("");
      return out;
    };
    fish("-n", file);
    const complete = (line: string): string[] =>
      fish("-c", `source ${file}; complete -C '${line}'`)
        .split("\n")
        .map((one) => one.split("\t")[0] ?? "")
        .filter((one) => one !== "");
    expect(complete("pilotboat sta")).toEqual(["status"]);
    expect(complete("pilotboat status --r")).toEqual(["--run-folder"]);
    expect(complete("pilotboat status --run-folder my")).toEqual(["my-mesh/"]);
    expect(complete("pilotboat config --concurrency 2 ex")).toEqual(["explain"]);
    expect(complete("pilotboat config explain drainD")).toEqual(["drainDuration"]);
    expect(complete("pilotboat envoy fetch --source g")).toEqual(["github"]);
    expect(complete("pilotboat version -o y")).toEqual(["yaml"]);
    expect(complete("pilotboat help envoy f")).toEqual(["fetch"]);
    expect(complete("pilotboat bootstrap validate mesh")).toEqual(["mesh.yaml"]);
  });
});

describe.each(runtimes())("what $name shows in a terminal", (runtime) => {
  const RED = "\u001b[31mError:\u001b[39m";

  test.skipIf(noTerminal)("errors have colours in a terminal, and nowhere else", async () => {
    const line = 'Unknown command "stauts"';
    const shown = await runInTerminal(runtime, ["stauts"], { env: { TERM: "xterm" } });
    expect(shown).toMatchObject({ code: 2, screen: expect.stringContaining(`${RED} ${line}`) });
    for (const env of [
      {},
      { TERM: "dumb" },
      { TERM: "xterm", NO_COLOR: "1" },
      { TERM: "xterm", FORCE_COLOR: "0" },
    ] as Record<string, string>[]) {
      expect((await runInTerminal(runtime, ["stauts"], { env })).screen).toContain(`Error: ${line}`);
    }
    expect((await run(runtime, ["stauts"])).stderr).toMatch(/^Error: Unknown/);
    expect((await run(runtime, ["stauts"], { env: { FORCE_COLOR: "1" } })).stderr).toContain(RED);
  });

  test.skipIf(noTerminal)("what an argument quotes is escaped there, too", async () => {
    const { screen } = await runInTerminal(runtime, ["\u001b[2Jx"], { env: { TERM: "xterm" } });
    expect(screen).toContain('Unknown command "\\u001b[2Jx"');
  });

  test.skipIf(noTerminal)("tables fit a terminal of 40 columns", async () => {
    for (const args of [["--help"], ["help", "wait"], ["envoy", "list"], ["config", "explain", "drainDuration"]]) {
      const { screen } = await runInTerminal(runtime, args, { columns: 40, env: { NO_COLOR: "1" } });
      const [text = ""] = screen.split("\nExamples:\n");
      expect(text.length).toBeGreaterThan(100);
      for (const line of text.split("\n"))
        expect({ args, line, fits: line.length <= 40 }).toMatchObject({ fits: true });
    }
  });
});
