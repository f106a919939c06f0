export {
  type ChosenPorts,
  LAST_GOOD_IN_RUN_FOLDER,
  meshDefaults,
  RUN_LOG_FLAGS,
  runDefaults,
  statedDefaults,
} from "./stated-defaults.ts";
