export { type FoundAgent, findAgents } from "./find-agents.ts";
export { makeRunFolder } from "./make-run-folder.ts";
export { dataFolder, inRunFolder, runAs, socketAccess, xdsSocketPath } from "./paths.ts";
export { type RunFile, readOwnRunFile, runFilePath } from "./read-run-file.ts";
export { type ClaimedFolder, claimRunFolder, isAbandoned } from "./run-file.ts";
export { RUN_FOLDER_PREFIXES, temporaryRunFolders } from "./temporary-folders.ts";
