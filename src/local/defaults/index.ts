export { type ChosenPorts, meshDefaults, RUN_LOG_FLAGS, runDefaults, statedDefaults } from "./stated-defaults.ts";
