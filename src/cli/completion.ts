import { defineCommand, ROOT_FLAGS } from "./contract/index.ts";

export const command = defineCommand({
  name: "completion",
  group: "shell",
  summary: "Completion of commands, flags and values for a shell",
  description: [
    "Prints a script that completes commands, flags, names of settings and other values in your shell. Completing starts no process; load the script again after an upgrade.",
  ],
  arguments: [{ name: "bash|zsh|fish", help: "Your shell" }],
  flags: [],
  examples: [
    "source <(pilotboat completion bash)        # in ~/.bashrc",
    "source <(pilotboat completion zsh)         # in ~/.zshrc, after compinit",
    "pilotboat completion fish | source         # in ~/.config/fish/config.fish",
  ],
  similar: ["autocomplete", "completions"],
  async run({ words: [shell = ""], usage }, host, program) {
    const [scripts, { settingNames }] = await Promise.all([
      import("./completion/index.ts"),
      import("../config/index.ts"),
    ]);
    const { bashScript, zshScript, fishScript, completionTree } = scripts;
    const byShell = { bash: bashScript, zsh: zshScript, fish: fishScript };
    if (!Object.hasOwn(byShell, shell)) throw usage(`Cannot complete for "${shell}", wanted bash, zsh or fish`);
    const tree = completionTree(await program.commands(), ROOT_FLAGS);
    host.stdout.write(byShell[shell as keyof typeof byShell](tree, settingNames()));
    return 0;
  },
});
