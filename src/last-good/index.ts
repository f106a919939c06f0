export { openLastGood } from "./open-last-good.ts";
