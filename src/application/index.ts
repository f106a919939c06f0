export { findExecutable } from "./find-executable.ts";
export {
  applicationExitCode,
  describeApplicationEnd,
  type RunningApplication,
  startApplication,
} from "./start-application.ts";
