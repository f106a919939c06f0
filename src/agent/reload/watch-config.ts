import { resolve } from "node:path";
import { describeError, type Logger, watchPaths } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { PATHS } from "../../istio/index.ts";

/**
 * Calls `onChange`, which must not reject, when a file that the configuration or the bootstrap was made from has another
 * content. What changes while it is at work leads to another call after it, so that the last word counts.
 */
export async function watchConfig(
  config: AgentConfig,
  log: Logger,
  onChange: () => Promise<unknown>,
): Promise<AsyncDisposable> {
  const paths = configFiles(config);
  log.info("Watching the files of the configuration", { paths });
  let isRunning = false;
  let isAgain = false;
  const run = async (): Promise<void> => {
    isAgain = true;
    if (isRunning) return;
    isRunning = true;
    while (isAgain) {
      isAgain = false;
      await onChange();
    }
    isRunning = false;
  };
  return watchPaths({
    paths,
    onChange: () => void run(),
    onTrouble: (error) => log.warn("Cannot watch every file; polling every 30 s", { error: describeError(error) }),
  });
}

function configFiles({ cwd, startedIn, flags, settings, proxy }: AgentConfig): string[] {
  const inRunFolder = [
    flags.meshConfig,
    settings.bootstrapOverride,
    settings.bootstrapTemplate,
    proxy.proxyBootstrapTemplatePath,
    proxy.customConfigFile,
    PATHS.podAnnotations,
    PATHS.podLabels,
  ];
  return [
    ...(flags["proxy-config"] === "" ? [] : [resolve(startedIn, flags["proxy-config"])]),
    ...inRunFolder.filter((path) => path !== "").map((path) => resolve(cwd, path)),
  ];
}
