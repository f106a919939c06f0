import { gauge } from "../../base/index.ts";

export const TOKEN_EXPIRY = gauge(
  "token_expiry_seconds",
  "Seconds until the token that authenticates the agent expires; negative when it has.",
);
