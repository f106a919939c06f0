/**
 * TLS options of every client. Without the first, both runtimes look for `NODE_TLS_REJECT_UNAUTHORIZED` in the environment,
 * and `0` there lets any root and any name pass.
 */
export const VERIFIED_TLS = { rejectUnauthorized: true } as const;

/** For a server that a user has named as one that need not prove who it is. */
export const UNVERIFIED_TLS = { rejectUnauthorized: false } as const;

export type TlsWords = typeof VERIFIED_TLS | typeof UNVERIFIED_TLS;
