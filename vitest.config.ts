import { defineConfig } from "vitest/config";
import { RealEnvoyReporter } from "./test/support/real-envoy-reporter.ts";

export default defineConfig({
  plugins: [
    {
      name: "yaml-as-text", // as the two bundlers do it
      transform: (text, file) => (file.endsWith(".yaml") ? `export default ${JSON.stringify(text)}` : undefined),
    },
  ],
  resolve: { alias: { pilotboat: new URL("src/index.ts", import.meta.url).pathname } }, // the examples import the package
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    pool: "forks",
    testTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } }, // conditions, not times: the limit is for what never comes
    hookTimeout: 120_000,
    slowTestThreshold: 3_000,
    setupFiles: ["test/support/note-real-envoy.ts"],
    reporters: ["default", new RealEnvoyReporter()],
    globalSetup: ["test/support/global-setup.ts"],
  },
});
