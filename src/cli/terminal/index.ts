export { columnTable, nameTable, type Row, wrap } from "./table.ts";
export { stderrOf, stdoutOf, type Terminal } from "./terminal.ts";
export { bad, faint, good, plain, strong, type Text, warning } from "./text.ts";
