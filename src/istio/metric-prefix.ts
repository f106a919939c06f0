/** What the names of the agent's own metrics begin with. Source: istio/istio pilot/cmd/pilot-agent/status/server.go (initializeMonitoring). */
export const METRIC_PREFIX = "istio_agent_";
