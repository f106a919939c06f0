/** Of the whole page and of the pictures in it. Colours stand at the top, once for light and once for dark. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --edge: #d9dee5; --text: #1b2430; --dim: #5d6b7c; --line: #aab6c4;
  --accent: #1668c7; --fill: #cfe2f8; --good: #157f3d; --good-fill: #d9f2e1; --warn: #8f5a00; --warn-fill: #fdf0d2;
  --bad: #b3261e; --bad-fill: #fce4e2; --latency: #7a3fb3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11161d; --card: #19212b; --edge: #303b49; --text: #e4eaf1; --dim: #98a6b7; --line: #4a596b;
    --accent: #6cb2ff; --fill: #1d3c5e; --good: #5fd38d; --good-fill: #173a26; --warn: #f0b95a; --warn-fill: #40310f;
    --bad: #ff8f87; --bad-fill: #4a1f1c; --latency: #c79bf2;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 1232px; margin: 0 auto; padding: 0 16px; }
header { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; padding-top: 20px; }
h1 { font-size: 20px; margin: 0; }
h2 { font-size: 12px; letter-spacing: .06em; text-transform: uppercase; color: var(--dim); margin: 0 0 6px; font-weight: 600; }
p { margin: 0; overflow-wrap: anywhere; }
.node { color: var(--dim); font: 13px ui-monospace, monospace; flex: 1 1 300px; overflow-wrap: anywhere; }
#live { font-size: 12px; color: var(--dim); }
section { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 14px 16px; margin: 12px 0; min-width: 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 12px; margin: 12px 0; }
.cards section { margin: 0; }
#ready { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; }
#ready .reason { flex: 1 1 400px; margin: 0; }
.badge { font-weight: 700; padding: 3px 14px; border-radius: 999px; }
.badge.good { background: var(--good-fill); color: var(--good); }
.badge.bad { background: var(--bad-fill); color: var(--bad); }
.reason { color: var(--bad); margin-top: 4px; }
.state { color: var(--good); }
.bad { color: var(--bad); }
.main .warn { color: var(--warn); }
.dim, i, .since { color: var(--dim); font-style: normal; }
.since { font-size: 13px; }
.causes { flex-basis: 100%; margin: 0; padding-left: 20px; overflow-wrap: anywhere; font-size: 14px; }
.causes b { background: var(--bad-fill); color: var(--bad); border-radius: 4px; padding: 0 6px; font-size: 12px; }
.notes { flex-basis: 100%; margin: 0; padding-left: 20px; color: var(--warn); overflow-wrap: anywhere; }
.main { font-weight: 600; }
.empty, .hint, .under { color: var(--dim); }
.hint { font-size: 13px; margin-top: 8px; }
.under { font-size: 13px; margin-bottom: 8px; }
dl + h2 { margin-top: 12px; }
dl { margin: 8px 0 0; font-size: 13px; }
dl div { display: flex; gap: 10px; padding: 2px 0; }
dt { flex: 0 0 86px; color: var(--dim); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: 13px; margin-top: 8px; }
th { text-align: left; color: var(--dim); font-weight: 500; }
th, td { padding: 3px 10px 3px 0; vertical-align: top; white-space: nowrap; }
.rejection td { white-space: normal; overflow-wrap: anywhere; color: var(--bad); background: var(--bad-fill); padding: 4px 8px; border-radius: 6px; }
.bar { display: block; width: 100%; height: 8px; margin: 8px 0 4px; border-radius: 4px; }
.bar .whole { fill: var(--edge); }
.bar.good .left { fill: var(--good); }
.bar.warn .left { fill: var(--warn); }
.bar.bad .left { fill: var(--bad); }
.scroll { overflow: auto; max-height: 78vh; }
ul.narrow { display: none; list-style: none; margin: 0; padding: 0; }
.narrow li { border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px; margin-top: 8px; overflow-wrap: anywhere; font: 600 13px ui-monospace, monospace; overflow: hidden; }
.narrow li.warn { border-color: var(--warn); background: var(--warn-fill); }
.narrow li.refused { border-color: var(--bad); background: var(--bad-fill); }
.narrow .way { color: var(--dim); font-size: 12px; font-weight: 400; }
.narrow .bad { color: var(--bad); }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--dim); font-size: 13px; margin-bottom: 6px; }
.picture { display: block; font: 12px ui-monospace, monospace; }
.picture text { fill: var(--text); }
.picture .head { font: 600 12px system-ui, sans-serif; fill: var(--dim); }
.picture .dim, .picture .note { fill: var(--dim); }
.picture .name { font-weight: 600; }
.picture .note, .picture .bad { font-size: 11px; }
.picture .figure { font-size: 12px; }
.picture text.bad { fill: var(--bad); font-weight: 600; }
.picture .box > rect { fill: var(--page); stroke: var(--edge); }
.picture .cluster > rect { fill: var(--card); stroke: var(--line); }
.picture .warn > rect { fill: var(--warn-fill); stroke: var(--warn); }
.picture .refused > rect { fill: var(--bad-fill); stroke: var(--bad); }
.picture .line { fill: none; stroke: var(--line); stroke-width: 1.2; }
.plot .ground { fill: var(--page); }
.plot .requests { fill: var(--fill); stroke: var(--accent); }
.plot .errors { fill: var(--bad); }
.plot path.latency { fill: none; stroke: var(--latency); stroke-width: 1.5; }
.plot circle.latency { fill: var(--latency); }
.log { list-style: none; margin: 0; padding: 0; max-height: 320px; overflow: auto; font: 12px/1.6 ui-monospace, monospace; }
.log li { overflow-wrap: anywhere; }
.log time, .log i, .log b { color: var(--dim); font-weight: 400; font-style: normal; }
.log .warn b { color: var(--warn); }
.log .error b, .log .fatal b { color: var(--bad); }
footer { padding-bottom: 28px; }
footer a { display: inline-block; margin: 4px 6px 4px 0; padding: 4px 12px; border: 1px solid var(--edge); border-radius: 6px; background: var(--card); color: var(--accent); text-decoration: none; font-size: 13px; }
footer a:hover { border-color: var(--accent); }
@media (max-width: 760px) { .wide { display: none; } ul.narrow { display: block; } }
@media (max-width: 600px) { header, main, footer { padding-left: 10px; padding-right: 10px; } section { padding: 12px; } }
`;
