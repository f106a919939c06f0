import { existsSync, readFileSync } from "node:fs";
import { type Results, SHOWN } from "./page.ts";

/** The JSON that the page is made of, from `docs/performance/`. */
export function readResults(): Results {
  const files = SHOWN.map((name) => [name, `docs/performance/${name}.json`] as const);
  return Object.fromEntries(
    files.filter(([, file]) => existsSync(file)).map(([name, file]) => [name, JSON.parse(readFileSync(file, "utf8"))]),
  );
}
