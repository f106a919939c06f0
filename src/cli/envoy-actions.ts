import { resolve } from "node:path";
import { AgentError } from "../base/index.ts";
import {
  askedEnvoy,
  askVersion,
  cachedVersions,
  cacheFolder,
  DEFAULT_ENVOY_VERSION,
  ENVOY_LOCK,
  type FetchNews,
  type FoundEnvoy,
  fetchCommand,
  fetchEnvoy,
  fetchImageEnvoy,
  findEnvoy,
  istioImage,
  type Platform,
  pinnedImage,
  type SourceName,
  thisPlatform,
} from "../envoy/binary/index.ts";
import type { Host } from "../host/index.ts";
import { showFetch } from "./progress-line.ts";
import { columnTable, faint, good, stdoutOf, type Text } from "./terminal/index.ts";

interface FetchFlags {
  readonly version: string | undefined;
  readonly source: string;
  readonly platform: string | undefined;
  readonly unlocked: boolean;
  readonly istio: string | undefined;
  readonly hub: string | undefined;
  readonly image: string | undefined;
  readonly caFile: string | undefined;
}

/** Makes sure that the cache has that Envoy, and prints its path. */
export async function fetchOne(flags: FetchFlags, host: Host): Promise<number> {
  const { stop } = host.signals;
  const news = showFetch(host, (line) => void host.stderr.write(`${line}\n`));
  try {
    const { path } = await fetchNamed(flags, host, news);
    host.stdout.write(`${path}\n`);
    return 0;
  } catch (error) {
    if (!stop.aborted) throw error;
    throw new AgentError("STOPPED", "Stopped fetching Envoy; nothing was left behind", { cause: error });
  }
}

function fetchNamed(flags: FetchFlags, host: Host, news: FetchNews): Promise<FoundEnvoy> {
  const { env, signals } = host;
  const platform = (flags.platform as Platform | undefined) ?? thisPlatform();
  if (flags.istio !== undefined || flags.image !== undefined) return fetchFromImage(flags, platform, host, news);
  const version = flags.version ?? DEFAULT_ENVOY_VERSION;
  const source = flags.source as SourceName;
  return fetchEnvoy({ version, source, platform, env, isUnlocked: flags.unlocked, ...news }, signals.stop);
}

async function fetchFromImage(
  { istio = "", image, hub, caFile }: FetchFlags,
  platform: Platform,
  { env, cwd, signals }: Host,
  news: FetchNews,
): Promise<FoundEnvoy> {
  const { imageTaker } = await import("../agent/start-envoy/index.ts");
  const takeFromImage = imageTaker({ caFile: caFile === undefined ? undefined : resolve(cwd, caFile) });
  const wanted =
    image === undefined ? istioImage(istio, (hub ?? env.PILOTBOAT_ENVOY_HUB) || undefined) : pinnedImage(image);
  return fetchImageEnvoy({ env, image: wanted, platform, takeFromImage, ...news }, signals.stop);
}

/** Prints the path of the Envoy that would be run; as JSON with its version and where it was found. Rejects with ENVOY_NOT_FOUND. */
export async function printPath(wanted: string | undefined, isJson: boolean, host: Host): Promise<number> {
  const { env, cwd, stdout } = host;
  const asked = askedEnvoy({ version: wanted }, env);
  const { version } = asked;
  const found = await findEnvoy({ ...asked, env, cwd });
  if (found === undefined) {
    const known = version ?? Object.keys(ENVOY_LOCK.versions).join(" or ");
    const text = `No Envoy ${known} on PATH, and none at "${cacheFolder(env, version)}/envoy"`;
    throw new AgentError("ENVOY_NOT_FOUND", text, { hint: `Run "${fetchCommand(version)}"` });
  }
  if (isJson) {
    const asked = found.version ?? (await askVersion(found.path, env)) ?? null;
    stdout.write(`${JSON.stringify({ ...found, version: asked }, null, 2)}\n`);
  } else {
    stdout.write(`${found.path}\n`);
  }
  return 0;
}

/** Prints the versions that are pinned, and those in the cache. */
export async function printVersions(isJson: boolean, host: Host): Promise<number> {
  const { env, stdout } = host;
  const cached = await cachedVersions(env);
  const pinned = Object.keys(ENVOY_LOCK.versions);
  const rows = [...new Set([...pinned, ...cached])].sort(byNumbers).map((version) => ({
    version,
    isDefault: version === DEFAULT_ENVOY_VERSION,
    platforms: Object.keys(ENVOY_LOCK.versions[version] ?? {}),
    path: cached.includes(version) ? `${cacheFolder(env, version)}/envoy` : null,
  }));
  if (isJson) {
    stdout.write(`${JSON.stringify({ platform: thisPlatform(), versions: rows }, null, 2)}\n`);
    return 0;
  }
  const cells = rows.map(({ version, isDefault, platforms, path }): Text[] => [
    isDefault ? good(`${version} (default)`) : version,
    platforms.join(" ") || "not pinned",
    path ?? faint("-"),
  ]);
  const terminal = stdoutOf(host);
  terminal.print(columnTable(["VERSION", "PINNED FOR", `CACHED (${thisPlatform()})`], cells, terminal.width));
  return 0;
}

const byNumbers = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });
