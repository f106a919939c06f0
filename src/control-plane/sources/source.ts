import type { ResourceGroup } from "../ads/snapshot.ts";

/** Where the resources come from that the control plane serves. */
export interface ResourceSource {
  /** In the log. */
  readonly name: string;
  /** All of them. Rejects with RESOURCES_INVALID or FILE_UNREADABLE; what is served stays. */
  read(): Promise<ResourceGroup[]>;
  /** Calls `onChange` when they may have changed, until the watch is disposed of. */
  watch(onChange: () => void): Promise<AsyncDisposable>;
}
