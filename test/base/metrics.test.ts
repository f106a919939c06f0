import { expect, test } from "vitest";
import { counter, createMetrics, gauge, histogram } from "../../src/base/index.ts";

test("series appear with their first record, families sorted by name", () => {
  const metrics = createMetrics("istio_agent_");
  expect(metrics.render()).toBe("");
  const failures = counter("failures", "How often.");
  const sendTime = histogram("send_time", "", [0.01, 0.1, 1]);
  metrics.count(counter("scrapes_total", ""));
  metrics.count(failures, { type: 'a"b\\c\n' }, 2);
  metrics.gauge(gauge("cert_expiry_seconds", ""), () => 1_234_567);
  metrics.gauge(gauge("absent", ""), () => undefined);
  metrics.observe(sendTime, 0.05);
  metrics.observe(sendTime, 5);
  expect(metrics.render()).toBe(
    [
      "# HELP istio_agent_cert_expiry_seconds ",
      "# TYPE istio_agent_cert_expiry_seconds gauge",
      "istio_agent_cert_expiry_seconds 1.234567e+06",
      "# HELP istio_agent_failures How often.",
      "# TYPE istio_agent_failures counter",
      'istio_agent_failures{type="a\\"b\\\\c\\n"} 2',
      "# HELP istio_agent_scrapes_total ",
      "# TYPE istio_agent_scrapes_total counter",
      "istio_agent_scrapes_total 1",
      "# HELP istio_agent_send_time ",
      "# TYPE istio_agent_send_time histogram",
      'istio_agent_send_time_bucket{le="0.01"} 0',
      'istio_agent_send_time_bucket{le="0.1"} 1',
      'istio_agent_send_time_bucket{le="1"} 1',
      'istio_agent_send_time_bucket{le="+Inf"} 2',
      "istio_agent_send_time_sum 5.05",
      "istio_agent_send_time_count 2",
      "",
    ].join("\n"),
  );
});

test.each([
  [0.00005, "5e-05"],
  [1e6, "1e+06"],
  [1e21, "1e+21"],
  [123.5, "123.5"],
  [Number.NaN, "NaN"],
  [Number.NEGATIVE_INFINITY, "-Inf"],
])("%d prints as Go prints it", (value, expected) => {
  const metrics = createMetrics("istio_agent_");
  metrics.gauge(gauge("g", ""), value);
  expect(metrics.render()).toContain(`istio_agent_g ${expected}\n`);
});
