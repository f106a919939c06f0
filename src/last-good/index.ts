export { type LastGood, type Owner, openLastGood } from "./open-last-good.ts";
