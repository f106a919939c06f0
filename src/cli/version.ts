import type { Host } from "../base/index.ts";
import { VERSION } from "../version.ts";

export async function run(_args: readonly string[], host: Host): Promise<number> {
  host.stdout.write(`pilotboat ${VERSION}\n`);
  return 0;
}
