import type { ProxyConfig } from "../istio/mesh/index.ts";

/** What decides, beside the node, which sections a bootstrap has and with what values. */
export interface BootstrapOptions {
  readonly proxy: ProxyConfig;
  /** Envoy logs JSON (`--log_as_json`). */
  readonly isLogJson: boolean;
  /** `ISTIO_DELTA_XDS`. */
  readonly isDeltaXds: boolean;
  /** `COMPLIANCE_POLICY`. */
  readonly compliancePolicy: string;
  /** `HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED`. */
  readonly stripFragmentUnsafeIfDisabled: boolean;
  /** `ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL`. */
  readonly isStatusPortProxyProtocol: boolean;
  /** Replaces `$(HOST_IP)` as a host; empty leaves it. */
  readonly hostIp: string;
  readonly outlierLogPath: string;
  /** Most heap in bytes, before Envoy sheds load. Default: no limit. */
  readonly heapLimitBytes?: number | undefined;
}

/** Collects what is odd but not fatal: one line each. */
export type Warn = (message: string) => void;
