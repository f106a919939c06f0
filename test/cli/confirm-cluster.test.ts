import { PassThrough, Writable } from "node:stream";
import { expect, test } from "vitest";
import { confirmCluster } from "../../src/cli/cluster-words.ts";
import type { Host } from "../../src/host/index.ts";

const SERVER = "https://10.0.0.1:6443";

test.each([
  ["prod-eu", SERVER, true],
  ["prod", SERVER, true],
  ["PROD", SERVER, true],
  ["shopProd", SERVER, true],
  ["eu-west-1/prd2", SERVER, true],
  ["gke_shop-production_europe-west1_main", SERVER, true],
  ["arn:aws:eks:eu-west-1:1234:cluster/live", SERVER, true],
  ["main", "https://api.prod.example.com", true],
  ["kind-dev", SERVER, false],
  ["product-catalog", SERVER, false],
  ["non-prod", SERVER, false],
  ["nonprod-eu", SERVER, false],
  ["pre-prod", SERVER, false],
  ["preproduction", SERVER, false],
  ["delivery", SERVER, false],
  ["test", "not a URL", false],
])("context %s at %s looks like production: %s", async (context, server, expected) => {
  const { host, input } = person();
  input.end();
  const isAsked = await confirmCluster({ context, server }, 'clone pod "web"', { yes: false }, host).then(
    () => false,
    () => true,
  );
  expect(isAsked).toBe(expected);
});

test.each(["y\n", "yes\n", "Yes \n", "y\r\n"])("the answer %j is a yes", async (answer) => {
  const { host, input, asked } = person();
  const confirmed = confirm(host);
  input.write(answer);
  await confirmed;
  expect(asked()).toContain(
    'Context "prod-eu" (https://10.0.0.1:6443) looks like production. Really clone pod "web"? [y/N] ',
  );
  expect(input.listenerCount("data")).toBe(0);
  expect(input.isPaused()).toBe(true);
});

test.each(["\n", "n\n", "yesterday\n", "prod-eu\n"])("the answer %j is a no", async (answer) => {
  const { host, input } = person();
  const confirmed = confirm(host);
  input.write(answer);
  await expect(confirmed).rejects.toMatchObject({ code: "NOT_CONFIRMED", hint: expect.stringContaining("--yes") });
});

test("closed standard input, and none at all, refuse", async () => {
  const { host, input } = person();
  const refused = expect.objectContaining({ code: "NOT_CONFIRMED", message: expect.stringContaining("no answer") });
  const confirmed = confirm(host);
  input.end();
  await expect(confirmed).rejects.toEqual(refused);
  const { openStdin: _, ...without } = host;
  await expect(confirm(without)).rejects.toEqual(refused);
});

test("a signal ends the question", async () => {
  const { host, stop } = person();
  const confirmed = confirm(host);
  stop.abort(new Error("received signal SIGINT"));
  await expect(confirmed).rejects.toThrow("received signal SIGINT");
});

test("--yes and other contexts are not asked", async () => {
  const { host, asked } = person();
  await confirmCluster({ context: "prod-eu", server: SERVER }, "do it", { yes: true }, host);
  await confirmCluster({ context: "kind-dev", server: SERVER }, "do it", { yes: false }, host);
  expect(asked()).toBe("");
});

function confirm(host: Host): Promise<void> {
  return confirmCluster({ context: "prod-eu", server: SERVER }, 'clone pod "web"', { yes: false }, host);
}

function person() {
  const [input, stop] = [new PassThrough(), new AbortController()];
  const never = new AbortController().signal;
  let asked = "";
  const stderr = new Writable({
    write(chunk: Buffer, _encoding, done) {
      asked += chunk.toString();
      done();
    },
  });
  const signals = { stop: stop.signal, hurry: never, force: never };
  const host: Host = { env: {}, cwd: "/", stdout: stderr, stderr, openStdin: () => input, signals };
  return { host, input, stop, asked: () => asked };
}
