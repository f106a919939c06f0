export { bashScript } from "./bash.ts";
export { completionTree } from "./completion-tree.ts";
export { fishScript } from "./fish.ts";
export { zshScript } from "./zsh.ts";
