import { execFileSync } from "node:child_process";
import { chmod, copyFile, link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VERSION } from "../../src/version.ts";
import { CLUSTER_FILES, cachedCluster } from "../cluster/binaries.ts";
import { askHelpTree, type HelpTree, readCobraPage, readOwnPage } from "../support/help-tree.ts";
import { type Runtime, run, runtimes } from "../support/pilotboat.ts";
import { missing } from "../support/terminal.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-called-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The last word of a runtime is our program, or a script of it. */
async function linked(runtime: Runtime, name: string): Promise<Runtime> {
  const to = runtime.command.at(-1) ?? "";
  const at = join(folder, runtime.name.replace(" ", "-"), name);
  await mkdir(join(at, ".."), { recursive: true });
  await symlink(to, at).catch(() => undefined); // made before
  return { name, command: [at] };
}

describe.each(runtimes())("$name, called by another name", (runtime) => {
  let agent: Runtime;
  beforeAll(async () => {
    agent = await linked(runtime, "pilot-agent");
  });

  test("help, usage lines, examples, hints and errors show that name, and no line tells to call another", async () => {
    for (const words of [["--help"], ["proxy", "--help"], ["help", "request"], ["wait", "-h"], ["config", "-h"]]) {
      const { code, stdout } = await run(agent, words);
      expect(code).toBe(0);
      expect(stdout).toMatch(/^Usage: pilot-agent /m);
      expect(stdout).not.toMatch(/\bpilotboat (proxy|wait|request|help|config|COMMAND)\b/);
    }
    expect(await run(agent, ["vers"])).toMatchObject({
      code: 2,
      stderr: 'Error: Unknown command "vers" [USAGE]\n  hint: Did you mean "version"? See "pilot-agent --help"\n',
    });
    expect((await run(agent, ["wait", "--foo"])).stderr).toContain('See "pilot-agent wait --help"');
    expect((await run(agent, ["config", "explain", "nope"])).stderr).toContain('All names: "pilot-agent config".');
  });

  test("the rules of a pod have pilot-agent's name for them there", async () => {
    expect((await run(agent, ["--help"])).stdout).toMatch(/^ {2}istio-iptables {2,}/m);
    const { stdout } = await run(agent, ["istio-iptables", "--help"]);
    expect(stdout).toMatch(/^Usage: pilot-agent istio-iptables \[flags\]$/m);
    expect(stdout).toMatch(/^ {2}pilot-agent istio-iptables -p 15001 /m);
    expect((await run(agent, ["iptables", "--help"])).code).toBe(0); // ours as well
  });

  test("called istio-iptables it is that command alone", async () => {
    const alone = await linked(runtime, "istio-iptables");
    const { code, stdout } = await run(alone, ["--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: istio-iptables \[flags\]$/m);
    expect(stdout).toMatch(/^ {2}istio-iptables -p 15001 /m);
    expect((await run(alone, ["--dry-run", "--probe-timeout", "x"])).stderr).toMatch(
      /^Error: Cannot use --probe-timeout "x"/,
    );
    expect((await run(alone, ["--foo"])).stderr).toContain('See "istio-iptables --help"');
  });

  test("by a hard link, a copy, a path with detours, a wrapper and exec -a as well", async () => {
    const [file = "", script] = runtime.command;
    const usage = (words: readonly string[]) =>
      execFileSync(words[0] ?? "", [...words.slice(1), "--help"], { encoding: "utf8" }).match(/^Usage: (\S+)/m)?.[1];
    const place = join(folder, `places-${runtime.name.replace(" ", "-")}`);
    await mkdir(place);
    if (script === undefined) {
      const source = join(place, "one");
      await copyFile(file, source);
      await link(source, join(place, "hard"));
      expect(usage([join(place, "hard")])).toBe("hard");
      expect(usage([source])).toBe("one");
    }
    expect(usage([join(folder, "x", "..", agent.command[0]?.slice(folder.length + 1) ?? "")])).toBe("pilot-agent");
    const wrapper = join(place, "pilot-agent");
    await writeFile(wrapper, `#!/bin/bash\nexec -a "$0" ${runtime.command.map((one) => `'${one}'`).join(" ")} "$@"\n`);
    await chmod(wrapper, 0o755);
    if (missing("bash") === undefined) expect(usage([wrapper])).toBe("pilot-agent");
    expect(usage(runtime.command)).toBe("pilotboat");
  });

  test("version has all of pilot-agent's forms", async () => {
    const text = async (...words: readonly string[]) => (await run(agent, ["version", ...words])).stdout;
    const line = `client version: version.BuildInfo{Version:"${VERSION}", GitRevision:"unknown", GolangVersion:"unknown", BuildStatus:"unknown", GitTag:"unknown"}\n`;
    expect((await text()).startsWith(`${line}pilotboat `)).toBe(true);
    expect((await text("--short=false")).startsWith(line)).toBe(true);
    expect(await text("-s")).toBe(`client version: ${VERSION}\n`);
    expect(await text("--short")).toBe(`client version: ${VERSION}\n`);
    expect(JSON.parse(await text("-o", "json")).clientVersion.version).toBe(VERSION);
    expect(await text("--output=yaml")).toMatch(/^clientVersion:\n {2}golang_version: /);
    expect((await run(runtime, ["version"])).stdout).toMatch(/^pilotboat /); // by its own name: for people alone
  });

  test("completion scripts are for that name", async () => {
    const script = async (shell: string) => (await run(agent, ["completion", shell])).stdout;
    const [bash, zsh, fish, powershell] = await Promise.all(["bash", "zsh", "fish", "powershell"].map(script));
    expect(bash).toMatch(/^complete -F _pilot_agent pilot-agent$/m);
    expect(zsh).toMatch(/^#compdef pilot-agent$/m);
    expect(zsh).toMatch(/^ {2}compdef _pilot-agent pilot-agent$/m);
    expect(fish).toMatch(/^complete -c pilot-agent -f$/m);
    expect(powershell).toMatch(/^Register-ArgumentCompleter -Native -CommandName 'pilot-agent' /m);
    for (const text of [bash, zsh, fish, powershell]) {
      expect(text).not.toMatch(/[_ ]pilotboat[_ ](table|settings|at|proxy|completion)/);
    }
    if (missing("bash") === undefined) {
      const ask = `${bash}\nCOMP_WORDS=(pilot-agent istio-iptables --run-v); COMP_CWORD=2; _pilot_agent; echo "\${COMPREPLY[@]}"`;
      expect(execFileSync("bash", ["--norc", "-c", ask], { encoding: "utf8" })).toBe("--run-validation\n");
    }
    if (missing("fish") === undefined) {
      await writeFile(join(folder, "agent.fish"), fish ?? "");
      const ask = `source ${folder}/agent.fish; complete -C 'pilot-agent istio-ip'`;
      const env = { ...process.env, HOME: folder };
      expect(execFileSync("fish", ["--no-config", "-c", ask], { encoding: "utf8", env })).toMatch(/^istio-iptables\t/);
    }
    if (missing("zsh") === undefined) {
      await writeFile(join(folder, "_pilot-agent"), zsh ?? "");
      execFileSync("zsh", ["-n", join(folder, "_pilot-agent")]);
    }
    expect((await run(agent, ["completion", "zsh", "--no-descriptions"])).stdout).not.toContain("Wait until the proxy");
  });
});

/** Command lines, whether pilot-agent takes them (exit code 0), and why pilotboat does not where it does. */
const LINES: readonly (readonly [line: string, isTaken: boolean, whyNot?: string])[] = [
  ["nope", false],
  ["vers", false],
  ["help --nope", false],
  ["request", false],
  ["request GET", false],
  ["request --debug-port 1 GET stats", false],
  ["request --debug-port x GET stats", false],
  ["wait --nope", false],
  ["wait --timeoutSeconds x", false],
  ["version --nope", false],
  ["version -o", false],
  ["version -o xml", false],
  ["version surplus", true],
  ["istio-iptables --nope", false],
  ["istio-iptables -o", false],
  ["istio-clean-iptables", false],
  ["completion", true],
  ["completion bash surplus", false],
  ["completion bash --nope", false],
  ["help version surplus", true],
  ["help nope", true, "pilot-agent says on stderr that it does not know the topic, and ends with 0"],
  ["completion tcsh", true, "pilot-agent prints the help page, and a shell would evaluate it"],
  ["--nope", true, "pilot-agent ignores flags that it does not know before a command, and the command after them"],
  ["-x version", true, "the same"],
];

describe("the help pages of pilot-agent", () => {
  const bin = cachedCluster();
  const recorded = async (): Promise<HelpTree> =>
    JSON.parse(await readFile("test/fixtures/pilot-agent-help.json", "utf8"));

  test.skipIf(bin === undefined)("are as recorded (needs pilot-agent: npm run test:cluster builds it)", async () => {
    const real = await askHelpTree([`${bin}/${CLUSTER_FILES.pilotAgent}`], readCobraPage);
    expect(real).toEqual(await recorded());
  });

  test.each(runtimes())("$name has every command and every flag of them, with the same default", async (runtime) => {
    const wanted = await recorded();
    const agent = await linked(runtime, "pilot-agent");
    const found = await askHelpTree(agent.command, readOwnPage, Object.keys(wanted));
    const differences = Object.entries(wanted).flatMap(([path, page]) => {
      const { commands = [], flags = {} } = found[path] ?? {};
      const absent = page.commands.filter((name) => !commands.includes(name));
      const isListed = (flag: string) => Object.keys(flags).some((one) => one === flag);
      return [
        ...absent.map((name) => `${path} ${name}`.trim()),
        ...Object.entries(page.flags).flatMap(([flag, fallback]) =>
          isListed(flag) && sameDefault(flags[flag], fallback, flag) ? [] : [`${path} ${flag}`.trim()],
        ),
      ];
    });
    expect(differences).toEqual([]);
  });
});

describe("command lines with mistakes", () => {
  const bin = cachedCluster();
  const takenBy = async (runtime: Runtime) => {
    const codes: (readonly [string, boolean])[] = [];
    for (const [line] of LINES) codes.push([line, (await run(runtime, line.split(" "))).code === 0]);
    return codes;
  };

  test.skipIf(bin === undefined)(
    "pilot-agent refuses the same (needs pilot-agent: npm run test:cluster builds it)",
    async () => {
      const real = { name: "pilot-agent", command: [`${bin}/${CLUSTER_FILES.pilotAgent}`] };
      expect(await takenBy(real)).toEqual(LINES.map(([line, isTaken]) => [line, isTaken]));
    },
  );

  test.each(runtimes())("$name refuses what pilot-agent refuses, and what has a reason", async (runtime) => {
    const agent = await linked(runtime, "pilot-agent");
    expect(await takenBy(agent)).toEqual(
      LINES.map(([line, isTaken, whyNot]) => [line, isTaken && whyNot === undefined]),
    );
  });
});

/** The paragraph of flags that every command takes names no defaults; the root page does. */
function sameDefault(found: string | undefined, wanted: string, flag: string): boolean {
  return found === wanted || (found === "" && /^--(log_|vklog)/.test(flag));
}
