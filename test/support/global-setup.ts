import { existsSync } from "node:fs";

/** The tests run the built program: without it every end-to-end test would fail with a confusing message. */
export default function setup(): void {
  if (!existsSync("dist/main.js")) throw new Error('dist/main.js is missing: run "npm run build" first');
}
