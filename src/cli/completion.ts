import { type Command, defineCommand, PROGRAM, ROOT_FLAGS } from "./contract/index.ts";

const FLAGS = [
  { name: "no-descriptions", type: "bool", default: false, help: "Offer names alone, without what they are for" },
] as const;

const LOADED_BY = {
  bash: "source <(pilotboat completion bash)        # in ~/.bashrc",
  zsh: "source <(pilotboat completion zsh)         # in ~/.zshrc, after compinit",
  fish: "pilotboat completion fish | source         # in ~/.config/fish/config.fish",
  powershell: "pilotboat completion powershell | Out-String | Invoke-Expression    # in $PROFILE",
} as const;
type Shell = keyof typeof LOADED_BY;

export const command: Command = defineCommand({
  name: "completion",
  group: "shell",
  summary: "Completion of commands, flags and values for a shell",
  description: [
    "Prints a script that completes commands, flags, names of settings and other values in your shell. Completing starts no process; load the script again after an upgrade.",
  ],
  flags: [],
  commands: [shellCommand("bash"), shellCommand("zsh"), shellCommand("fish"), shellCommand("powershell", ["pwsh"])],
  examples: Object.values(LOADED_BY),
  similar: ["autocomplete", "completions"],
});

function shellCommand(shell: Shell, similar: readonly string[] = []): Command {
  return defineCommand({
    name: shell,
    summary: `The script for ${shell}`,
    flags: FLAGS,
    examples: [LOADED_BY[shell]],
    similar,
    async run({ flags }, host, { commands }) {
      const [scripts, { settingNames }] = await Promise.all([
        import("./completion/index.ts"),
        import("../config/index.ts"),
      ]);
      const { bashScript, zshScript, fishScript, powershellScript, completionTree, withoutDescriptions } = scripts;
      const { program = PROGRAM } = host;
      const tree = completionTree(await commands(), ROOT_FLAGS, program);
      const nodes = flags["no-descriptions"] ? withoutDescriptions(tree) : tree;
      const scriptOf = { bash: bashScript, zsh: zshScript, fish: fishScript, powershell: powershellScript }[shell];
      host.stdout.write(scriptOf({ program, nodes, settings: settingNames() }));
      return 0;
    },
  });
}
