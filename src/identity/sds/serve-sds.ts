import type { SdsOptions } from "./options.ts";

/**
 * Serves Envoy's secret discovery on the socket. Resolves when connections are taken; gRPC is loaded only here. Every
 * failure of a secret ends its stream with the reason, after which Envoy asks again.
 */
export async function serveSds(options: SdsOptions): Promise<AsyncDisposable> {
  const { startServer } = await import("./server.ts");
  if (options.isFilesOnly !== true) options.log.info("Starting default Istio SDS Server");
  return startServer(options);
}
