import type * as library from "./index.js" with { "resolution-mode": "import" };

// The types of `require("pilotboat")`, for projects of CommonJS modules.
export type * from "./index.js" with { "resolution-mode": "import" };
export declare const startSidecar: typeof library.startSidecar;
export declare const startControlPlane: typeof library.startControlPlane;
export declare const AgentError: typeof library.AgentError;
export type AgentError = library.AgentError;
