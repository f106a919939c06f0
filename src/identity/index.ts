export type { KeyProvider } from "./sds/response.ts";
export { serveSds } from "./sds/serve-sds.ts";
export type { Secrets, SecretsOptions } from "./secrets/options.ts";
export { startSecrets } from "./secrets/secrets.ts";
export type { IdentityStatus } from "./secrets/status.ts";

export { startTokens, type Tokens, type TokensOptions } from "./tokens/tokens.ts";
export { type XdsIdentity, xdsIdentity } from "./xds-identity.ts";
