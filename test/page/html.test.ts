import { expect, test } from "vitest";
import { html } from "../../src/page/markup/html.ts";

test("what fills a hole is text, whatever it is", () => {
  const name = `</p><script>alert("1" + '2')</script>&amp;\``;
  expect(html`<p title="${name}">${name}</p>`.text).toBe(`<p title="${escaped(name)}">${escaped(name)}</p>`);
  expect(html`<p>${html`<b>${"<i>"}</b>`}${["<", html`<br>`, [2, false, undefined]]}</p>`.text).toBe(
    "<p><b>&#60;i&#62;</b>&#60;<br>2</p>",
  );
});

test("what moves a cursor or turns text around is shown", () => {
  expect(html`${"a\u202eb\u001b[2J\n\ud800"}`.text).toBe("a\\u202eb\\u001b[2J\\n\\ud800");
});

test("what only looks like markup is none", () => {
  const forged = { text: "<script>" } as unknown as string;
  expect(() => html`${forged}`).toThrow(TypeError);
});

function escaped(text: string): string {
  return text.replace(/[&<>"'`]/g, (one) => `&#${one.charCodeAt(0)};`);
}
