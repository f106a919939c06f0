import type { Reporter, TestModule } from "vitest/node";

/** Tells at the end how many of the tests that passed ran with the real Envoy, and with a real istiod. */
export class RealEnvoyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const passed = modules.flatMap((module) => [...module.children.allTests("passed")]);
    const count = passed.filter((test) => test.meta().realEnvoy === true).length;
    console.log(`\n  Real Envoy  ${count} of ${passed.length} passed tests ran with it`);
    const ofCluster = modules.filter((module) => module.moduleId.includes("/test/cluster/"));
    if (ofCluster.length > 0) console.log(`  Real istiod  ${describeCluster(ofCluster)}`);
    console.log("");
  }
}

function describeCluster(modules: readonly TestModule[]): string {
  const count = (state: "passed" | "skipped"): number =>
    modules.reduce((sum, module) => sum + [...module.children.allTests(state)].length, 0);
  const [passed, skipped] = [count("passed"), count("skipped")];
  if (passed > 0 || skipped === 0) return `${passed} tests ran with one`;
  return `${skipped} tests did not run: the test cluster is not built here ("npm run test:cluster" does it)`;
}
