/** Runs in the browser: what a person would find ugly there, by the names of the elements. */
export function lookAtPage() {
  const nameOf = (one) => `${one.tagName}.${one.getAttribute("class") ?? one.id}: ${one.textContent?.slice(0, 40)}`;
  const isShown = (one) => one.getClientRects().length > 0 && one.getBoundingClientRect().width > 0;
  const overlaps = [];
  const cut = [];
  const compare = (all) => {
    const shown = all.filter(isShown).map((one) => ({ one, box: one.getBoundingClientRect() }));
    for (const [at, { one, box: a }] of shown.entries()) {
      for (const { one: other, box: b } of shown.slice(at + 1)) {
        const isApart =
          a.right <= b.left + 0.5 || b.right <= a.left + 0.5 || a.bottom <= b.top + 0.5 || b.bottom <= a.top + 0.5;
        if (!isApart) overlaps.push(`${nameOf(one)} | ${nameOf(other)}`);
      }
    }
  };
  compare([...document.querySelectorAll("section")]);
  compare([...document.querySelectorAll(".narrow li, footer a")]);
  for (const picture of document.querySelectorAll("svg.picture")) compare([...picture.querySelectorAll(".box > rect")]);
  for (const box of document.querySelectorAll("svg.box")) {
    const { left, right } = box.getBoundingClientRect();
    compare([...box.querySelectorAll("text")]);
    for (const text of box.querySelectorAll("text")) {
      const place = text.getBoundingClientRect();
      if (
        isShown(text) &&
        (place.left < left || place.right > right + 0.5) &&
        !/[^\x20-\x7e…–]/.test(text.textContent ?? "")
      ) {
        cut.push(nameOf(text));
      }
    }
  }
  const empty = [...document.querySelectorAll("section, section > div, .narrow li, .box")]
    .filter((one) => isShown(one) && (one.textContent ?? "").trim() === "")
    .map(nameOf);
  return { overlaps, cut, empty, isTooWide: document.documentElement.scrollWidth > window.innerWidth };
}
