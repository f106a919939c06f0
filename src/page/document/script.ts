/**
 * Puts what the stream sends into its section, and keeps what a person has opened, scrolled to, or selected there. Everything
 * works without it, too: then the page loads itself again.
 */
export const SCRIPT = `
const live = document.getElementById("live");
const waiting = new Map();
function isInUse(section) {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && section.contains(selection.anchorNode);
}
function replace(section, markup) {
  const open = [...section.querySelectorAll("details[open]")].map(({ id }) => id);
  const places = [...section.querySelectorAll("[id]")].map(({ id, scrollLeft, scrollTop }) => ({ id, scrollLeft, scrollTop }));
  const focus = section.contains(document.activeElement) ? document.activeElement.id : "";
  section.innerHTML = markup;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const { id, scrollLeft, scrollTop } of places) document.getElementById(id)?.scrollTo(scrollLeft, scrollTop);
  if (focus !== "") document.getElementById(focus)?.focus({ preventScroll: true });
}
let agent;
function follow() {
  const stream = new EventSource("/events");
  stream.addEventListener("agent", ({ data }) => {
    if (agent !== undefined && agent !== data) location.reload();
    agent = data;
  });
  stream.onopen = () => { live.textContent = "live"; };
  stream.onerror = () => {
    const isRefused = stream.readyState === EventSource.CLOSED; // then the browser does not try again
    live.textContent = isRefused ? "not live: the agent refuses, perhaps because too many pages are open; next try in 10 s" : "not live: the agent does not answer";
    if (isRefused) setTimeout(follow, 10_000);
  };
  stream.onmessage = ({ data }) => {
    for (const [id, markup] of Object.entries(JSON.parse(data))) waiting.set(id, markup);
    for (const [id, markup] of waiting) {
      const section = document.getElementById(id);
      if (section === null || isInUse(section)) continue;
      waiting.delete(id);
      replace(section, markup);
    }
    document.title = document.querySelector("#ready .badge").textContent + " – pilotboat";
  };
}
follow();
`;
