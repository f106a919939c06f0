import type { Reporter, TestModule } from "vitest/node";

/** Tells at the end how many of the tests that passed ran with the real Envoy. */
export class RealEnvoyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const passed = modules.flatMap((module) => [...module.children.allTests("passed")]);
    const count = passed.filter((test) => test.meta().realEnvoy === true).length;
    console.log(`\n  Real Envoy  ${count} of ${passed.length} passed tests ran with it\n`);
  }
}
