export { type DnsServer, openDnsServer } from "./dns-server.ts";
