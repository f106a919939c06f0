import { createServer, type ServerResponse } from "node:http";

// The two sources of a merged scrape, in a process of their own: an Envoy and an application, both answers held in memory.

export interface SourcePorts {
  readonly envoy: number;
  readonly application: number;
}

/** Of the application's answer. */
export const APPLICATION_MB = 1;

/** `GET /stats/prometheus?mb=N` at Envoy's port answers with N MB. Sends "ready" to its parent. */
export async function serveSources(ports: SourcePorts): Promise<void> {
  const bySize = new Map<string, Buffer>();
  await serveApplication(ports.application);
  await listen(ports.envoy, (url, response) => {
    const mb = new URL(url, "http://envoy").searchParams.get("mb") ?? "1";
    const body = bySize.get(mb) ?? statistics("envoy_cluster", Number(mb));
    bySize.set(mb, body);
    response.end(body);
  });
  process.send?.("ready");
}

/** Answers everything with its statistics. */
export function serveApplication(port: number): Promise<void> {
  const application = statistics("application", APPLICATION_MB);
  return listen(port, (_, response) => response.end(application));
}

function listen(port: number, answer: (url: string, response: ServerResponse) => void): Promise<void> {
  const server = createServer((request, response) => {
    response.setHeader("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    answer(request.url ?? "/", response);
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
}

/** As Envoy writes it for the clusters of a large mesh: a few families with many series, each with a long name. */
function statistics(prefix: string, mb: number): Buffer {
  const wanted = mb * 1e6;
  const lines: string[] = [];
  for (let bytes = 0, at = 0; bytes < wanted; at++) {
    const name = `${prefix}_upstream_rq_${at % 50}`;
    const service = `reviews-${at >> 6}.namespace-${at % 41}.svc.cluster.local`;
    const head = at % 64 === 0 ? `# TYPE ${name}_${at} counter\n` : "";
    const line = `${head}${name}{cluster_name="outbound|${8_000 + (at % 97)}||${service}",response_code="200"} ${(at * 7_919) % 100_003}\n`;
    lines.push(line);
    bytes += line.length;
  }
  return Buffer.from(lines.join(""));
}
