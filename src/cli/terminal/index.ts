export { askLine } from "./ask.ts";
export { writeExact } from "./exact.ts";
export { columnTable, nameTable, type Row, wrap } from "./table.ts";
export { canRedraw, redraw, stderrOf, stdoutOf } from "./terminal.ts";
export { bad, faint, good, plain, strong, type Text, warning } from "./text.ts";
