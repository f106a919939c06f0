export { findExecutable } from "./find-executable.ts";
export {
  type ApplicationEnd,
  type ApplicationOptions,
  applicationExitCode,
  describeApplicationEnd,
  type RunningApplication,
  startApplication,
} from "./start-application.ts";
