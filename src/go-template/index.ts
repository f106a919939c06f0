export { goMessage } from "./go-message.ts";
export { goNilCollection, goRecord, goTextMap } from "./go-record.ts";
