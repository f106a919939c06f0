export { type AdminClient, createAdminClient } from "./admin-client.ts";
export { type ArgumentsOptions, configFileOf, envoyArguments, envoyEnvironment } from "./arguments.ts";
export { executableContains } from "./executable-text.ts";
export { validateConfig } from "./validate-config.ts";
export { type EnvoyFeatures, featuresOf } from "./version-table.ts";
