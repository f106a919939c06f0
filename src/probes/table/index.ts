export { type AppProbe, parseProbers } from "./parse-probers.ts";
