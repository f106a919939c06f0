// Resources for pictures of the page: the quickstart, and behind its outbound listener a virtual host and a cluster for each name.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** `cluster` is what the cluster is called; `ports` are those of its endpoints, as YAML. Requests to the host `host` reach it. */
export function writeShopMesh(folder, shops) {
  const quickstart = readFileSync("examples/quickstart/xds/mesh.yaml", "utf8").trimEnd();
  const rule = "routes: [{ match: { prefix: / }, route: { cluster: inbound-mtls } }]\n";
  if (!quickstart.includes(rule)) throw new Error("The quickstart has another route than it had");
  mkdirSync(folder, { recursive: true });
  const mesh = quickstart.replace(rule, () => rule + shops.map(virtualHost).join(""));
  writeFileSync(join(folder, "mesh.yaml"), `${mesh}\n${shops.map(cluster).join("")}`);
}

function virtualHost({ host, cluster }) {
  return `      - name: ${JSON.stringify(host)}
        domains: [${JSON.stringify(host)}]
        routes: [{ match: { prefix: / }, route: { cluster: ${JSON.stringify(cluster)} } }]
`;
}

function cluster({ cluster: name, ports }) {
  const endpoint = (port) =>
    `            - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } }\n`;
  return `  - name: ${JSON.stringify(name)}
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: ${JSON.stringify(name)}
      endpoints:
        - lb_endpoints:
${ports.map(endpoint).join("")}`;
}
