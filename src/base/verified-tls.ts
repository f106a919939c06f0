/**
 * TLS options of every client. Without the first, both runtimes look for `NODE_TLS_REJECT_UNAUTHORIZED` in the environment,
 * and `0` there lets any root and any name pass.
 */
export const VERIFIED_TLS = { rejectUnauthorized: true } as const;
