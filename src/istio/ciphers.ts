/**
 * OpenSSL's cipher list for TLS 1.2 under `COMPLIANCE_POLICY` `fips-140-2` and `fips-140-3`. Sources: istio/istio
 * pkg/security/security.go, pkg/envoy/proxy.go.
 */
export const FIPS_CIPHERS = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
].join(":");
