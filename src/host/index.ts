export { calledName } from "./called-name.ts";
export { type Cgroup, type CgroupLimits, readCgroup, wholeCpus } from "./cgroup.ts";
export { keepCompiledCode } from "./compiled-code.ts";
export type { Host, StopSignals } from "./host.ts";
export { findSetpriv } from "./parent-death.ts";
export {
  DEFAULT_TEMPORARY_PLACE,
  makeTemporaryFolder,
  type TemporaryPlace,
  temporaryPlace,
  workingDirectory,
  xdgFolder,
} from "./places.ts";
export { portHolders, portSharers } from "./port-holders.ts";
export { argumentsOf, commandLineOf, ownerOf, startOf, wasStartedWith } from "./process-identity.ts";
export { type Runtime, residentBytes, thisRuntime } from "./resident-bytes.ts";
export { type ProgramOptions, type ProgramOutput, type Ran, runProgram } from "./run-program.ts";
export { isForRuntime } from "./runtime-variables.ts";
export {
  descriptorOf,
  finishOutput,
  isTerminal,
  lossyOutput,
  nowhere,
  outputUntil,
  steadyOutput,
  whileRead,
} from "./steady-output.ts";
export { createStopStages, onEverySignal, STOP_SIGNALS, type StopStages } from "./stop-stages.ts";
export { restoreJitPolicySoon } from "./tier-up.ts";
export { keepYoungGenerationSmall } from "./young-generation.ts";
