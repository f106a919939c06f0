import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
// @ts-expect-error a plain script without types
import { findChromium, launchChromium } from "../../scripts/chromium.mjs";
// @ts-expect-error a plain script without types
import { writeShopMesh } from "../../scripts/shop-mesh.mjs";
// @ts-expect-error a plain script without types: it runs in the browser
import { lookAtPage } from "../page/look.mjs";
import { type RunningCommand, type Runtime, runtimes, start } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const chromium: string | undefined = findChromium();
const title =
  chromium === undefined
    ? "the page in a browser: SKIPPED, there is no chromium on PATH (Debian: apt-get install chromium)"
    : "the page in a browser";

/** A mesh whose names would like to be markup; of some clusters an endpoint is not there. */
const SHOPS = Array.from({ length: 30 }, (_, at) => ({
  host: `shop-${at}.example`,
  cluster: [
    `outbound|80||shop-${at}.example`,
    `"><script>alert(${at})</script>`,
    `\u202e<img src=x onerror=alert(${at})>${"汉".repeat(99)}`,
  ][at % 3]?.concat(String(at)),
  ports: at % 5 === 0 ? [1, "${APP_PORT}"] : ["${APP_PORT}"],
}));

const WAIT = { timeout: 20_000 };

describe.skipIf(chromium === undefined)(title, () => {
  let folder: string;
  let mesh: RunningCommand;
  let browser: Browser;
  let url: string;

  beforeAll(async () => {
    await realEnvoy();
    folder = await mkdtemp(join(tmpdir(), "pb-page-"));
    writeShopMesh(join(folder, "xds"), SHOPS);
    const [runtime] = runtimes() as [Runtime];
    mesh = start(runtime, ["up", join(folder, "xds")], { cwd: folder, env: { TMPDIR: folder } });
    const [, port] = await mesh.waitFor(/^listener +http:\/\/127\.0\.0\.1:(\d+)$/m);
    [, url = ""] = await mesh.waitFor(/^page +(\S+)$/m);
    for (let at = 0; at < 40; at++) await visit(Number(port), `shop-${at % 15}.example`);
    browser = (await launchChromium(chromium)) as Browser;
  });
  afterAll(async () => {
    await browser?.close();
    await mesh?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test.each([
    [1280, "light"],
    [1280, "dark"],
    [400, "light"],
    [400, "dark"],
  ] as const)(
    "%i pixels wide and %s: nothing overlaps, is cut off, is empty, or comes from elsewhere",
    async (width, colorScheme) => {
      const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
      const page = await context.newPage();
      const faults: string[] = [];
      page.on("console", (message) => faults.push(`console: ${message.text()}`));
      page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
      page.on("dialog", (dialog) => faults.push(`dialog: ${dialog.message()}`));
      page.on("request", (call) => {
        if (!call.url().startsWith(url) && !call.url().startsWith("data:")) faults.push(`request: ${call.url()}`);
      });
      await page.goto(url);
      await expect.poll(() => page.locator("#live").textContent(), WAIT).toBe("live");
      await page.locator("#fold-own summary").click();
      expect(await page.locator("#fold-own[open] .box").count()).toBeGreaterThan(5);
      expect(await page.evaluate(lookAtPage)).toEqual({ overlaps: [], cut: [], empty: [], isTooWide: false });
      expect(await page.evaluate("getComputedStyle(document.body).backgroundColor")).toBe(
        colorScheme === "light" ? "rgb(246, 247, 249)" : "rgb(17, 22, 29)",
      );
      expect(faults).toEqual([]);
      await context.close();
    },
  );

  test("what a person has opened stays open when its section changes", async () => {
    const page = await browser.newPage();
    await page.goto(url);
    await page.locator("#fold-own summary").click();
    const uptime = (): Promise<string | null> => page.locator("#envoy dd").first().textContent();
    const before = await uptime();
    await expect.poll(uptime, WAIT).not.toBe(before); // it is live
    await page.evaluate(`replace(folded, folded.innerHTML.replaceAll(' open=""', ""))`);
    expect(await page.locator("#fold-own").getAttribute("open")).toBe("");
    await page.close();
  });

  test("without JavaScript it is as readable", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(url);
    const text = await page.locator("body").innerText();
    for (const wanted of [
      "Ready",
      "spiffe://cluster.local/ns/default/sa/quickstart",
      "SYNCED",
      "outbound|80||shop-0.example",
    ]) {
      expect(text).toContain(wanted);
    }
    expect(await page.locator("noscript").count()).toBe(1);
    await context.close();
  });

  test("an agent that is gone is told, and its page stays readable", async () => {
    const page = await browser.newPage();
    await page.goto(url);
    await expect.poll(() => page.locator("#live").textContent(), WAIT).toBe("live");
    mesh.kill("SIGINT");
    await mesh.ended;
    await expect.poll(() => page.locator("#live").textContent(), WAIT).toMatch(/^not live/);
    expect(await page.locator("#envoy").innerText()).toContain("pid");
    await page.close();
  });
});

function visit(port: number, host: string): Promise<void> {
  return new Promise((resolve) => {
    const call = request({ host: "127.0.0.1", port, path: "/hello", headers: { host }, agent: false }, (response) => {
      response.resume().once("end", resolve);
    });
    call.once("error", () => resolve()).end();
  });
}
