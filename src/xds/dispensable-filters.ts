/** A filter of Istio's Envoy without which traffic flows and every policy holds. */
export interface DispensableFilter {
  /** Full name of the message that configures it: by this, and not by the filter's name, Envoy finds the code. */
  readonly type: string;
  /** The name that istiod gives it. */
  readonly name: string;
  /** What is missing without it. */
  readonly lost: string;
  /** Why it may be left out: what it does, and that it neither admits nor refuses, routes nor secures anything. */
  readonly reason: string;
  /** The protocol that it speaks with a peer, if that is agreed on by ALPN: without the filter it must not be offered. */
  readonly alpn?: string;
}

/**
 * All filters that may be left out of what an Envoy without them is sent. What is not in this table is passed on, and
 * Envoy refuses it: a filter that is not in this table may be the one that keeps intruders out.
 * Sources: istio/istio pilot/pkg/xds/filters/filters.go, pilot/pkg/model/telemetry.go; istio/proxy source/extensions.
 */
export const DISPENSABLE_FILTERS: readonly DispensableFilter[] = [
  {
    type: "envoy.tcp.metadataexchange.config.MetadataExchange",
    name: "istio.metadata_exchange",
    lost: "who the peer is in the telemetry of TCP",
    reason: "Tells the peer the workload's labels in the first bytes of a connection; only telemetry reads them.",
    alpn: "istio-peer-exchange",
  },
  {
    type: "io.istio.http.peer_metadata.Config",
    name: "istio.metadata_exchange",
    lost: "who the peer is in the telemetry of HTTP; x-envoy-peer-metadata headers of others reach the application",
    reason: "Exchanges the workloads' labels in headers, and looks them up by address; only telemetry reads them.",
  },
  {
    type: "envoy.extensions.network_filters.peer_metadata.Config",
    name: "upstream_hbone_peer_metadata",
    lost: "who the peer is in the telemetry of HBONE",
    reason: "Reads the workload's labels from the baggage of an HBONE connection; only telemetry reads them.",
  },
  {
    type: "envoy.extensions.network_filters.peer_metadata.UpstreamConfig",
    name: "upstream_hbone_peer_metadata",
    lost: "who the peer is in the telemetry of HBONE",
    reason: "The same on the side of the cluster.",
  },
  {
    type: "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    name: "istio.alpn",
    lost: "the hint by which a server whose port declares no protocol tells HTTP from TCP inside mutual TLS",
    reason:
      "Offers istio-http/1.1 and the like beside the ALPN of the cluster; who is admitted is decided by the certificate.",
  },
  {
    type: "stats.PluginConfig",
    name: "istio.stats",
    lost: "Istio's standard metrics (istio_requests_total, istio_tcp_connections_opened_total and the like)",
    reason: "Counts requests and connections.",
  },
  {
    type: "stackdriver.config.v1alpha1.PluginConfig",
    name: "istio.stackdriver",
    lost: "metrics and access logs in Google Cloud",
    reason: "Reports requests and connections.",
  },
];
