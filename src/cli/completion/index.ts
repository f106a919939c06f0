export { bashScript } from "./bash.ts";
export { completionTree, withoutDescriptions } from "./completion-tree.ts";
export { fishScript } from "./fish.ts";
export { powershellScript } from "./powershell.ts";
export { zshScript } from "./zsh.ts";
