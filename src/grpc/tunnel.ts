import type { ChannelOptions } from "@grpc/grpc-js";
import { connectThrough, type EgressProxy, isProxied, type Tunnel } from "../base/index.ts";
import { NAME_SCHEME, registerNames } from "./names.ts";

/** What a gRPC client has to be made with. */
export interface GrpcTarget {
  readonly target: string;
  readonly options: ChannelOptions;
  /** For the credentials; undefined for a direct connection. */
  readonly tunnel: Tunnel | undefined;
}

type Grpc = Pick<typeof import("@grpc/grpc-js"), "experimental">;

/**
 * The way to `address` (`host:port`). The library's own reading of the environment is off: it knows other names and
 * rules than Go's, by which people have set these variables, it would send loopback connections to the proxy, and it
 * keeps the proxy's answer from whoever waits for the connection. So is its way of looking names up, see `lookupHost`.
 */
export function grpcTarget(grpc: Grpc, address: string, proxy: EgressProxy | undefined): GrpcTarget {
  registerNames(grpc.experimental);
  const options = { "grpc.enable_http_proxy": 0 };
  if (proxy === undefined || !isProxied(address, proxy.except)) {
    return { target: `${NAME_SCHEME}:${address}`, options, tunnel: undefined };
  }
  return {
    target: `${NAME_SCHEME}:${proxy.address}`,
    options,
    tunnel: (socket) => connectThrough(socket, address, proxy),
  };
}
